"""Datasets as assets: how they come into being, how far they are, what is checked, and when they run."""
