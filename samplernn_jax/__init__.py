"""SampleRNN in JAX and Flax: learns to generate raw audio from a folder of recordings."""

from samplernn_jax import audio, interop, wavenet
from samplernn_jax.config import ModelConfig
from samplernn_jax.losses import bits_per_sample
from samplernn_jax.model import SampleRNN
from samplernn_jax.sampling.generator import Generator

__all__ = [
    "Generator",
    "ModelConfig",
    "SampleRNN",
    "audio",
    "bits_per_sample",
    "interop",
    "wavenet",
]
