"""Engines that decode, strategies, prompts, and the Generator, which is the user's side."""
