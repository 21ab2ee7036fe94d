import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from samplernn_jax.config import WaveNetConfig
from samplernn_jax.sampling.engines.interface import first_state
from samplernn_jax.sampling.engines.scan import decode
from tests import reference
from tests.tiny_models import TINY_WAVENET, apply, fold, init, random_params, random_tokens

CONFIGS = {
    "relu": TINY_WAVENET,
    "linear_output": dataclasses.replace(TINY_WAVENET, output_activation="none"),
    "one_channel": dataclasses.replace(TINY_WAVENET, dim=1),
    "one_block": WaveNetConfig(num_blocks=1, layers_per_block=5, dim=3, q_levels=7),
    "no_dilation": WaveNetConfig(num_blocks=3, layers_per_block=1, dim=3, q_levels=8),
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


@configs
def test_equals_the_equations_in_numpy(config):
    params, tokens = random_params(config), random_tokens(config, batch=2, num_frames=9)
    logits, carry = apply(config, params, tokens)
    assert carry == {}
    for row in range(2):
        expected = reference.wavenet(config, params, np.asarray(tokens[row]))
        scale = max(1.0, np.abs(expected).max() / 10)
        np.testing.assert_allclose(logits[row], expected, atol=1e-4 * scale)


def test_a_logit_depends_on_the_overlap_before_it_and_on_nothing_else():
    config = TINY_WAVENET
    params, tokens = random_params(config), random_tokens(config, batch=1, num_frames=3)
    time = tokens.shape[1]
    one_changed = (tokens + 5 * jnp.eye(time, dtype=jnp.int32)) % config.q_levels
    logits, _ = apply(config, params, jnp.repeat(tokens, time, axis=0))
    changed_logits, _ = apply(config, params, one_changed)
    differs = np.abs(changed_logits - logits).max(axis=-1) > 0
    for target in range(3):
        expected = (np.arange(time) >= target) & (np.arange(time) < target + config.overlap)
        np.testing.assert_array_equal(differs[:, target], expected)


@configs
def test_with_caches_step_by_step_equals_teacher_forcing(config):
    params, tokens = random_params(config), random_tokens(config, batch=3, num_frames=40)
    expected, _ = apply(config, params, tokens)
    forced = tokens[:, config.overlap :]
    assert forced.shape[1] == 40
    folded = fold(config, params)

    @jax.jit
    def run(folded, state, forced):
        return decode(config, folded, state, forced, choose=lambda logits, token: (token, logits))

    state = first_state(config, params, tokens[:, : config.overlap], jnp.zeros(3))
    # In two blocks, to see that the state carries everything.
    state, _, first = run(folded, state, forced[:, :20])
    prompted = first_state(config, params, tokens[:, 20 : config.overlap + 20], state.keys)
    state, _, last = run(folded, state, forced[:, 20:])
    np.testing.assert_allclose(run(folded, prompted, forced[:, 20:])[2], last, atol=1e-4)
    logits = jnp.concatenate([first, last], axis=1)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, np.abs(expected).max() / 10))
    np.testing.assert_array_equal(state.position, [[0, 40]] * 3)


def test_a_step_updates_its_caches_in_place():
    """So its cost is that of the layers, whatever their dilations: no step copies a cache."""
    config = WaveNetConfig(num_blocks=1, layers_per_block=8, dim=4, q_levels=16)
    params, tokens = random_params(config), random_tokens(config, batch=1, num_frames=0)
    state = first_state(config, params, tokens, jnp.zeros(1))
    largest = "f32[129,4,1]"
    assert state.carry[7].shape == (1, 129, 4)

    def run(folded, state):
        forced = jnp.zeros((1, 100), jnp.int32)
        return decode(config, folded, state, forced, choose=lambda logits, token: (token, None))[0]

    folded = fold(config, params)
    compiled = jax.jit(run, donate_argnums=1).lower(folded, state).compile().as_text()
    made = [line for line in compiled.splitlines() if f" = {largest}" in line]
    assert any("dynamic-update-slice" in line for line in made)
    copies = [line for line in made if " copy(" in line]
    assert len(copies) <= 1, "more than the one that brings it into columns, before the first step"


def test_the_original_initial_distributions():
    config = WaveNetConfig(num_blocks=1, layers_per_block=2, dim=32, q_levels=256)
    params = flatten_dict(init(config, jax.random.key(0)))
    for path, fans in {
        ("block_1_layer_1", "dilated", "kernel"): 2 * (1 + 64),  # a filter of width 2
        ("block_1_layer_2", "dilated", "kernel"): 2 * (32 + 64),
        ("block_1_layer_2", "mix", "kernel"): 32 + 64,
        ("hidden_2", "kernel"): 32 + 32,
        ("output", "kernel"): 32 + 256,
    }.items():
        bound = np.sqrt(6 / fans)
        assert np.abs(params[path]).max() == pytest.approx(bound, rel=0.06), path
        assert params[path].std() == pytest.approx(bound / np.sqrt(3), rel=0.1), path
    assert params["block_1_layer_2", "skip_scale"] == 1
    assert not any(x.any() for path, x in params.items() if path[-1] == "bias")


@pytest.mark.parametrize("time", [1, 15])
def test_a_segment_without_target_is_refused(time):
    with pytest.raises(ValueError, match=f"tokens has {time} time steps: must be 15 of overlap"):
        apply(TINY_WAVENET, random_params(TINY_WAVENET), jnp.zeros((1, time), jnp.int32))
