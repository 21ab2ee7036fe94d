"""Figures of speed, as JSON."""
