"""Tiny models and tokens that many tests share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from samplernn_jax.config import ModelConfig
from samplernn_jax.model import SampleRNN

TINY = ModelConfig(frame_sizes=(2, 4), dim=8, emb_size=4, q_levels=16)

VARIANTS = {
    "2tier": ModelConfig(frame_sizes=(4,), dim=8, emb_size=4, q_levels=16),
    "3tier": TINY,
    "4tier_lstm": ModelConfig(
        frame_sizes=(2, 4, 12), dim=8, n_rnn=2, rnn_type="lstm", emb_size=4, q_levels=16
    ),
    "skip_gru": ModelConfig(
        frame_sizes=(2, 4), dim=8, n_rnn=3, skip_conn=True, emb_size=4, q_levels=16
    ),
    "skip_lstm_onehot": ModelConfig(
        frame_sizes=(3, 6),
        dim=8,
        n_rnn=2,
        rnn_type="lstm",
        skip_conn=True,
        emb_size=0,
        q_levels=16,
    ),
    "plain": ModelConfig(
        frame_sizes=(1, 4),
        dim=8,
        emb_size=4,
        q_levels=16,
        weight_norm=False,
        learn_h0=False,
    ),
    "mu_law": ModelConfig(frame_sizes=(2, 4), dim=8, emb_size=4, q_type="mu-law"),
}


@functools.partial(jax.jit, static_argnums=0)
def apply(config: ModelConfig, params: dict, tokens, carry=None, reset=None):
    """The compiled model."""
    return SampleRNN(config).apply({"params": params}, tokens, carry, reset)


@functools.partial(jax.jit, static_argnums=0)
def init(config: ModelConfig, key: jax.Array) -> dict:
    """Initial parameters."""
    tokens = jnp.zeros((1, 2 * config.overlap), jnp.int32)
    return SampleRNN(config).init(key, tokens)["params"]


def random_params(config: ModelConfig, seed: int = 0) -> dict:
    """Parameters in which every bias, h0 and gain matters."""
    shapes = jax.eval_shape(functools.partial(init, config), jax.random.key(0))
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0.0, 0.5, x.shape) + 0.1, jnp.float32), shapes
    )


def random_tokens(config: ModelConfig, batch: int, num_frames: int, seed: int = 0) -> jax.Array:
    """The overlap and `num_frames` top frames."""
    time = config.overlap * (1 + num_frames)
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(0, config.q_levels, (batch, time)), jnp.int32)
