"""The networks: one room for each architecture, and what they share."""
