"""SampleRNN in JAX and Flax: learns to generate raw audio from a folder of recordings."""

from samplernn_jax import audio, interop
from samplernn_jax.config import ModelConfig
from samplernn_jax.losses import bits_per_sample
from samplernn_jax.models.samplernn.module import SampleRNN
from samplernn_jax.models.wavenet import module as wavenet
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.priming import Prompt
from samplernn_jax.sampling.schedules import Schedule

__all__ = [
    "Generator",
    "ModelConfig",
    "Prompt",
    "SampleRNN",
    "Schedule",
    "audio",
    "bits_per_sample",
    "interop",
    "wavenet",
]
