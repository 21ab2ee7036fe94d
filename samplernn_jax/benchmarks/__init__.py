"""Measurements of speed, as JSON."""
