"""Sampling: engines, strategies, prompts, and the Generator, the user's side of it."""
