"""Augmentations: the language, and geometry, color and policies that it names."""
