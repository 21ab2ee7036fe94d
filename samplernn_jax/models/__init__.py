"""The networks: one room for each architecture, and the code that they share."""
