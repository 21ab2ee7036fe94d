"""What decodes tokens from a folded model."""
