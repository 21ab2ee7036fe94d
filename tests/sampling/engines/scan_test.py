import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.sampling.engines.interface import first_state
from samplernn_jax.sampling.engines.scan import decode
from samplernn_jax.sampling.strategies import Strategy, sample_token
from tests.tiny_models import GRID, VARIANTS, apply, fold, random_params, random_tokens

SAMPLED = {
    **VARIANTS,
    **{name: GRID[name] for name in ("1tier_lstm3_skip_onehot", "3tier_equal_frames", "5tier")},
}


@pytest.mark.parametrize("config", SAMPLED.values(), ids=SAMPLED.keys())
def test_step_by_step_equals_teacher_forcing(config):
    params, tokens = random_params(config), random_tokens(config, batch=3, num_frames=4)
    expected, expected_carry = apply(config, params, tokens)
    overlap, some = config.overlap, 2 * config.top_frame_size
    state = first_state(config, params, tokens[:, :overlap], jnp.zeros(3))
    folded, forced = fold(config, params), tokens[:, overlap:]

    @jax.jit
    def run(folded, state, forced):
        return decode(config, folded, state, forced, choose=lambda logits, token: (token, logits))

    # In two equal blocks, which one program decodes, to see that the state carries everything.
    state, first_tokens, first_logits = run(folded, state, forced[:, :some])
    state, last_tokens, last_logits = run(folded, state, forced[:, some:])
    logits = jnp.concatenate([first_logits, last_logits], axis=1)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, np.abs(expected).max() / 10))
    generated = jnp.concatenate([first_tokens, last_tokens], axis=1)
    np.testing.assert_array_equal(generated, tokens[:, overlap:])
    np.testing.assert_array_equal(state.window, tokens[:, -overlap:])
    np.testing.assert_array_equal(state.position, [[0, 4]] * 3)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), state.carry, expected_carry
    )


def test_in_float64_the_sampled_tokens_equal_teacher_forcing_to_the_last_one():
    config = dataclasses.replace(VARIANTS["4tier_lstm"], dim=16)
    with jax.enable_x64():
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), random_params(config))
        folded = fold(config, params)
        tokens = jnp.full((2, config.overlap), config.q_zero, jnp.int32)
        state = first_state(config, params, tokens, jnp.zeros(2))
        uniform = jax.random.uniform(jax.random.key(0), (2, 20 * config.overlap))

        def choose(logits, uniform):
            return sample_token(logits, uniform, Strategy(jnp.ones(len(logits)))), None

        run = jax.jit(lambda state: decode(config, folded, state, uniform, choose))
        _, generated, _ = run(state)
        logits, _ = apply(config, params, jnp.concatenate([tokens, generated], axis=1))
        assert logits.dtype == jnp.float64
        expected, _ = choose(logits.reshape(-1, config.q_levels), uniform.reshape(-1))
        np.testing.assert_array_equal(generated.reshape(-1), expected)
        assert len(np.unique(generated)) > config.q_levels // 2


def test_a_block_may_be_a_single_frame():
    """XLA unrolls a loop of one step, which must not change what it computes."""
    config = VARIANTS["3tier"]
    params, tokens = random_params(config), random_tokens(config, batch=3, num_frames=4)
    folded, size = fold(config, params), config.top_frame_size
    state = first_state(config, params, tokens[:, : config.overlap], jnp.zeros(3))
    run = jax.jit(lambda *args: decode(config, *args, choose=lambda logits, token: (token, logits)))
    logits = []
    for first in range(config.overlap, tokens.shape[1], size):
        state, _, of_frame = run(folded, state, tokens[:, first : first + size])
        logits.append(of_frame)
    expected, _ = apply(config, params, tokens)
    np.testing.assert_allclose(jnp.concatenate(logits, axis=1), expected, atol=1e-4)
