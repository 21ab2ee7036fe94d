import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax import quantization
from samplernn_jax.sampling.generator import Generator
from tests.models import TINY, TINY_WAVENET, VARIANTS, apply, random_params

RATE = 100


@pytest.fixture(scope="module")
def generator():
    return Generator(TINY, random_params(TINY), RATE)


def key():
    return jax.random.key(7)


def test_shape_range_and_dtype(generator):
    audio = generator.generate(key(), num_sequences=3, duration_s=0.57)
    assert audio.shape == (3, 57)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() <= 1
    assert audio.std() > 0.1


def test_same_key_same_audio_bit_for_bit(generator):
    first = generator.generate(key(), 2, 0.5)
    np.testing.assert_array_equal(generator.generate(key(), 2, 0.5), first)
    assert (generator.generate(jax.random.key(8), 2, 0.5) != first).any()


def test_sequences_differ_and_do_not_depend_on_how_many_there_are():
    with jax.enable_x64():
        params = jax.tree.map(lambda x: x.astype(np.float64), random_params(TINY))
        generator = Generator(TINY, params, RATE)
        many = generator.generate(key(), num_sequences=4, duration_s=1.0)
        for number in (1, 2, 3):
            fewer = generator.generate(key(), num_sequences=number, duration_s=1.0)
            np.testing.assert_array_equal(many[:number], fewer)
    assert len(np.unique(many, axis=0)) == 4


@pytest.mark.parametrize("block_s", [0.01, 0.13, 0.8])
def test_streamed_blocks_joined_are_what_generate_returns(generator, block_s):
    whole = generator.generate(key(), 2, 2.3)
    blocks = itertools.islice(generator.stream(key(), 2, block_s), round(2.3 / block_s + 1))
    streamed = np.concatenate(list(blocks), axis=1)
    np.testing.assert_array_equal(streamed[:, :230], whole)


def test_zero_temperature_is_greedy_and_needs_no_luck(generator):
    np.testing.assert_array_equal(
        generator.generate(key(), 1, 0.5, temperature=0.0),
        generator.generate(jax.random.key(99), 1, 0.5, temperature=0.0),
    )


def test_a_prompt_restores_the_whole_state(generator):
    """What was generated, given as a prompt, leads to the state after generating it."""
    generated = generator.generate(key(), 1, 10 * TINY.overlap / RATE)[0]
    tokens = quantization.encode(generated, TINY.q_levels, TINY.q_type)
    assert len(np.unique(tokens)) > 4
    prompted = generator._initial_state(key(), 1, generated)
    forced = np.concatenate([np.full(TINY.overlap, TINY.q_zero, np.int32), tokens])
    _, carry = apply(TINY, random_params(TINY), jnp.asarray(forced[None]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), prompted.carry, carry)
    np.testing.assert_array_equal(prompted.window[0], tokens[-TINY.overlap :])


@pytest.mark.parametrize("config", [TINY, VARIANTS["1tier"], TINY_WAVENET])
@pytest.mark.parametrize("length", [1, 3, 4, 9])
def test_a_prompt_may_have_any_length(config, length):
    generator = Generator(config, random_params(config), RATE)
    prompt = np.linspace(-0.9, 0.9, length)
    assert generator.generate(key(), 1, 0.2, prompt=prompt).shape == (1, 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_sequences": 0}, "num_sequences=0: must be at least 1"),
        ({"duration_s": 0.001}, "duration_s=0.001: must be at least one sample long"),
        ({"temperature": -0.5}, "temperature=-0.5: must be a number of at least 0"),
        ({"temperature": float("nan")}, "temperature=nan: must be a number of at least 0"),
        ({"prompt": np.zeros(0)}, r"prompt of shape \[0\]: must be finite numbers"),
        ({"prompt": np.zeros((2, 9))}, r"prompt of shape \[2, 9\]: must be finite numbers"),
        ({"prompt": np.full(9, np.inf)}, r"prompt of shape \[9\]: must be finite numbers"),
    ],
)
def test_a_bad_argument_is_named(generator, arguments, message):
    with pytest.raises(ValueError, match=message):
        generator.generate(key(), **arguments)


def test_a_bad_block_length_is_named(generator):
    with pytest.raises(ValueError, match=r"block_s=0.0: must be at least one sample long"):
        generator.stream(key(), block_s=0.0)
