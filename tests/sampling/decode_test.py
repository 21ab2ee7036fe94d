import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.model import initial_carry
from samplernn_jax.sampling.decode import DecodeState, decode, start
from samplernn_jax.sampling.fold import fold
from samplernn_jax.sampling.strategies import sample_token
from tests.models import GRID, VARIANTS, apply, random_params, random_tokens

SAMPLED = {
    **VARIANTS,
    **{name: GRID[name] for name in ("1tier_lstm3_skip_onehot", "3tier_equal_frames", "5tier")},
}


@pytest.mark.parametrize("config", [*VARIANTS.values(), GRID["independent"]])
def test_folding_changes_no_logit(config):
    params, tokens = random_params(config), random_tokens(config, batch=2, num_frames=3)
    folded_config, folded = fold(config, params)
    assert not folded_config.weight_norm
    assert not folded_config.independent_preds
    assert folded_config.emb_size == 0 or not config.frame_sizes
    expected, _ = apply(config, params, tokens)
    logits, _ = apply(folded_config, folded, tokens)
    np.testing.assert_allclose(logits, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("config", SAMPLED.values(), ids=SAMPLED.keys())
def test_step_by_step_equals_teacher_forcing(config):
    params, tokens = random_params(config), random_tokens(config, batch=3, num_frames=5)
    expected, expected_carry = apply(config, params, tokens)
    config, params = fold(config, params)
    overlap = config.overlap
    state = start(config, params, tokens[:, :overlap], jnp.zeros(3))
    forced = tokens[:, overlap:].reshape(3, -1, config.top_frame_size).swapaxes(0, 1)

    @jax.jit
    def run(params, state, forced):
        return decode(config, params, state, forced, choose=lambda logits, token: token)

    # In two blocks, to see that the state carries everything.
    state, first_tokens, first_logits = run(params, state, forced[:2])
    prompted = start(config, params, tokens[:, : overlap + 2 * config.top_frame_size], state.keys)
    state, last_tokens, last_logits = run(params, state, forced[2:])
    np.testing.assert_allclose(run(params, prompted, forced[2:])[2], last_logits, atol=1e-4)
    logits = jnp.concatenate([first_logits, last_logits], axis=1)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, np.abs(expected).max() / 10))
    generated = jnp.concatenate([first_tokens, last_tokens], axis=1)
    np.testing.assert_array_equal(generated, tokens[:, overlap:])
    np.testing.assert_array_equal(state.window, tokens[:, -overlap:])
    assert state.position == 5
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), state.carry, expected_carry
    )


def test_in_float64_the_sampled_tokens_equal_teacher_forcing_to_the_last_one():
    config = dataclasses.replace(VARIANTS["4tier_lstm"], dim=16)
    with jax.enable_x64():
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), random_params(config))
        folded_config, folded = fold(config, params)
        tokens = jnp.full((2, config.overlap), config.q_zero, jnp.int32)
        state = DecodeState(
            tokens, initial_carry(folded_config, folded, 2), jnp.zeros(2), jnp.int32(0)
        )
        uniform = jax.random.uniform(jax.random.key(0), (20, 2, config.overlap))
        choose = functools.partial(sample_token, temperature=jnp.float32(1.0))
        run = jax.jit(lambda state: decode(folded_config, folded, state, uniform, choose))
        _, generated, _ = run(state)
        logits, _ = apply(config, params, jnp.concatenate([tokens, generated], axis=1))
        assert logits.dtype == jnp.float64
        noise = uniform.swapaxes(0, 1).reshape(-1)
        expected = choose(logits.reshape(-1, config.q_levels), noise)
        np.testing.assert_array_equal(generated.reshape(-1), expected)
        assert len(np.unique(generated)) > config.q_levels // 2
