"""The files that a training run leaves in its workdir."""
