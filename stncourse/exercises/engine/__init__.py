"""Runs an attempt safely, compares, judges and shows the verdict; keeps progress; grades notebooks."""
