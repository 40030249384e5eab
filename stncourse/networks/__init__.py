"""The classic tutorial's network, alone and with a transformer in front, and its weights as files."""
