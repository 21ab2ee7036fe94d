"""Preparation: from recordings to a dataset."""
