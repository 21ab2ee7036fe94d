"""The options of each job; none of these modules but `prepare` imports jax."""
