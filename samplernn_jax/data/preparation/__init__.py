"""Recordings -> a dataset on disk."""
