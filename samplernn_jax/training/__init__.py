"""Training: optimizer, step, loop, plan, health and logbook."""
