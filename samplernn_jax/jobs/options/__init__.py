"""The options of each job; of these modules, only `prepare` imports jax."""
