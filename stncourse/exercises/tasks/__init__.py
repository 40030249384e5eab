"""The exercises, one file a notebook and named like it."""
