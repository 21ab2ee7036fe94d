"""Evaluation: baselines, scores and validation."""
