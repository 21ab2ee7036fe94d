"""Datasets that have a name: where they are and how they are laid out."""
