"""The two architectures behind one face: how training and evaluation make and start a model."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from samplernn_jax.config import ArchitectureConfig, ModelConfig, WaveNetConfig
from samplernn_jax.models.samplernn import module as model
from samplernn_jax.models.samplernn.module import Carry, Params
from samplernn_jax.models.wavenet import module as wavenet


def make_model(config: ArchitectureConfig) -> model.SampleRNN | wavenet.WaveNet:
    """The module, called as (tokens, carry, reset) -> (logits, carry)."""
    if isinstance(config, ModelConfig):
        return model.SampleRNN(config)
    return wavenet.WaveNet(config)


def init_params(config: ArchitectureConfig, key: Array) -> Params:
    """Fresh parameters."""
    tokens = jnp.zeros((1, config.overlap + config.top_frame_size), jnp.int32)
    init = make_model(config).init
    if isinstance(config, WaveNetConfig):
        init = jax.jit(init)  # every layer has shapes of its own, one by one they compile slowly
    return init(key, tokens)["params"]


def abstract_params(config: ArchitectureConfig) -> Params:
    """The shapes and types of the parameters, without computing them."""
    return jax.eval_shape(lambda key: init_params(config, key), jax.random.key(0))


def initial_carry(config: ArchitectureConfig, params: Params, batch_size: int) -> Carry:
    """The carry in front of a clip; WaveNet has none."""
    if isinstance(config, ModelConfig):
        return model.initial_carry(config, params, batch_size)
    return {}
