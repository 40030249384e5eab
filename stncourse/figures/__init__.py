"""Figures, all without pyplot: digits and frames, curves, the drawings that explain an idea, the film."""
