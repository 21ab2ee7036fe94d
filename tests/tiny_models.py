"""Tiny models and tokens that many tests share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from samplernn_jax.config import ModelConfig, WaveNetConfig
from samplernn_jax.models.interface import abstract_params, architecture, init_params

TINY = ModelConfig(frame_sizes=(2, 4), dim=8, emb_size=4, q_levels=16)

TINY_WAVENET = WaveNetConfig(num_blocks=2, layers_per_block=3, dim=4, q_levels=16)

VARIANTS = {
    "1tier": ModelConfig(frame_sizes=(), dim=8, emb_size=4, q_levels=16),
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

# More combinations of the options, for what is cheap to show of many.
GRID = {
    **VARIANTS,
    "1tier_lstm3_skip_onehot": ModelConfig(
        (), dim=8, n_rnn=3, rnn_type="lstm", skip_conn=True, emb_size=0, q_levels=12
    ),
    "1tier_gru2_plain": ModelConfig((), 8, n_rnn=2, weight_norm=False, emb_size=3, q_levels=9),
    "2tier_lstm2_skip": ModelConfig(
        (4,), dim=8, n_rnn=2, rnn_type="lstm", skip_conn=True, emb_size=5, q_levels=16
    ),
    "2tier_gru6_onehot": ModelConfig((5,), dim=6, n_rnn=6, emb_size=0, q_levels=17),
    "3tier_equal_frames": ModelConfig((4, 4), dim=6, emb_size=4, q_levels=16),
    "2tier_gru3_skip_plain": ModelConfig(
        (16,), dim=8, n_rnn=3, skip_conn=True, weight_norm=False, emb_size=4, q_levels=32
    ),
    "3tier_lstm3_skip": ModelConfig(
        (3, 9), dim=6, n_rnn=3, rnn_type="lstm", skip_conn=True, emb_size=4, q_levels=64
    ),
    "3tier_gru4_plain_fixed_h0": ModelConfig(
        (1, 2), dim=8, n_rnn=4, learn_h0=False, weight_norm=False, emb_size=4, q_levels=16
    ),
    "3tier_lstm1_plain": ModelConfig(
        (2, 6), dim=8, rnn_type="lstm", weight_norm=False, emb_size=4, q_levels=100
    ),
    "5tier": ModelConfig((1, 2, 4, 8), dim=8, emb_size=4, q_levels=16),
    "a_law": ModelConfig((2, 4), dim=8, emb_size=4, q_type="a-law"),
    "independent": ModelConfig((2, 4), dim=8, emb_size=4, q_levels=16, independent_preds=True),
}

# Of these as few as hold every two values of options together: numbers of tiers and RNNs, GRU and
# LSTM, skip connections, h0, weight norm, embedding, quantization, independent predictions.
PAIRWISE = {
    name: GRID[name]
    for name in (
        *("1tier", "1tier_gru2_plain", "1tier_lstm3_skip_onehot"),
        *("2tier", "2tier_gru3_skip_plain", "2tier_gru6_onehot", "2tier_lstm2_skip"),
        *("plain", "mu_law", "skip_lstm_onehot", "3tier_gru4_plain_fixed_h0"),
        *("3tier_lstm1_plain", "4tier_lstm", "5tier", "independent"),
    )
}


@functools.partial(jax.jit, static_argnums=0)
def apply(config: ModelConfig | WaveNetConfig, params: dict, tokens, carry=None, reset=None):
    """The logits and the carry of the compiled model."""
    predictions = architecture(config).apply(params, tokens, carry, reset)
    return predictions.logits, predictions.carry


def fold(config: ModelConfig | WaveNetConfig, params: dict):
    """The model for decoding."""
    return architecture(config).fold(params)


init = jax.jit(init_params, static_argnums=0)


_shapes = functools.cache(abstract_params)


def random_params(config: ModelConfig | WaveNetConfig, seed: int = 0) -> dict:
    """Parameters in which every bias, h0 and gain matters."""
    shapes = _shapes(config)
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0.0, 0.5, x.shape) + 0.1, jnp.float32), shapes
    )


def random_tokens(
    config: ModelConfig | WaveNetConfig, batch: int, num_frames: int, seed: int = 0
) -> jax.Array:
    """The overlap and `num_frames` top frames."""
    time = config.overlap + config.top_frame_size * num_frames
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(0, config.q_levels, (batch, time)), jnp.int32)
