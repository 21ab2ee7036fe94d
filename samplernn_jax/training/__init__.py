"""Optimizer, step, parallel mapping, loop, checkpoints, metrics."""
