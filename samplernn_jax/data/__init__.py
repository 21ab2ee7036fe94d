"""Recordings -> clips on disk -> segments."""
