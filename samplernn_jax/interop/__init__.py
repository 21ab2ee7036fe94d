"""Checkpoints of other implementations."""

from samplernn_jax.interop import theano

__all__ = ["theano"]
