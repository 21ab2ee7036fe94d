"""Engines, which decode tokens from a folded model."""
