import functools

import jax
import numpy as np
import pytest

from samplernn_jax.config import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    WaveNetConfig,
)
from samplernn_jax.models.interface import abstract_params, architecture
from samplernn_jax.sampling.engines.interface import first_state
from samplernn_jax.sizes import (
    bytes_at_once,
    check_evaluation,
    check_generation,
    check_training,
    checkpoint_bytes,
)
from samplernn_jax.training.step import init_state
from tests.tiny_models import GRID, TINY, TINY_WAVENET

MODELS = GRID | {
    "wavenet": TINY_WAVENET,
    "one_layer": WaveNetConfig(num_blocks=1, layers_per_block=1, dim=3, q_levels=16),
    "one_channel": WaveNetConfig(num_blocks=1, layers_per_block=3, dim=1, q_levels=16),
    "papers_2tier": ModelConfig((16,), dim=1024, n_rnn=3),
    "papers_wavenet": WaveNetConfig(),
}


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS.keys())
def test_parameters_and_states_are_counted_without_making_them(config):
    params = abstract_params(config)
    assert architecture(config).num_parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    tokens = jax.ShapeDtypeStruct((1, config.overlap), np.int32)
    keys = jax.random.split(jax.random.key(0), 1)
    state = jax.eval_shape(functools.partial(first_state, config), params, tokens, keys)
    leaves = jax.tree.leaves((state.window, state.carry))
    assert architecture(config).state_size == sum(leaf.size for leaf in leaves)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_checkpoint_is_what_is_trained_and_little_else(ema_decay):
    optimizer = OptimizerConfig(ema_decay=ema_decay)
    config = ExperimentConfig(model=TINY, optimizer=optimizer)
    state = jax.eval_shape(functools.partial(init_state, optimizer), abstract_params(TINY))
    real = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert real - 64 < checkpoint_bytes(config) <= real


def test_what_cannot_fit_is_refused_with_the_number():
    config = ExperimentConfig(
        model=ModelConfig(dim=10**6), data=DataConfig(batch_size=8, path="x", seq_len=512)
    )
    needed = bytes_at_once(config, rows=2, copies=4)
    check_training(config, 4, needed)
    check_training(config, 4, None)
    check_evaluation(config, 4, needed - 1)
    with pytest.raises(
        ValueError, match=r"batch_size=8, seq_len=512: take .* of 17,000,833,066,048"
    ):
        check_training(config, 4, needed - 1)
    check_generation(config.model, 10, 100, 10**9)
    with pytest.raises(ValueError, match=r"num_sequences=10: takes at least 11.3 GiB with 10"):
        check_generation(config.model, 10, 10**8, 10**9)
