"""Recipes, the loop that follows them, and the record it leaves."""
