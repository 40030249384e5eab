"""What a browser runs, in JavaScript: the spatial transformer, the shipped network, and what a page does with them."""
