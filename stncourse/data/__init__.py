"""What the network sees: digits, pictures of one's own, and what distorts them."""
