"""Sampling talks to engines through their protocol alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.models.interface import architecture
from samplernn_jax.sampling.engines.available import ENGINES
from samplernn_jax.sampling.engines.interface import Block, Engine
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.noise import advance, block_noise, block_times
from samplernn_jax.sampling.schedules import Schedule, at
from samplernn_jax.sampling.strategies import Strategy, sample_token
from tests.tiny_models import TINY, random_params

RATE = 100


@functools.partial(jax.jit, static_argnums=0)
def with_next(config, params, state, frame, place, uniform, strategy, conditions):
    """The frame with the sample at a place drawn, and the carry behind the frame."""
    tokens = jnp.concatenate([state.window, frame], axis=1)
    predictions = architecture(config).apply(params, tokens, state.carry, None, conditions)
    of_sample = jax.tree.map(lambda x: x[:, place], (predictions.logits, uniform, strategy))
    return frame.at[:, place].set(sample_token(*of_sample)), predictions.carry


class Unfolded:
    """Runs the model as in training, once for every sample."""

    def __init__(self, config, params, sample_rate_hz, devices):
        self.config, self.sample_rate_hz = config, sample_rate_hz
        self._params = params

    def begin(self, state, settings, conditions):
        return state, settings, conditions

    def state(self, running):
        return running[0]

    def decode(self, running, num_frames):
        state, settings, conditions = running
        blocks = []
        for _ in range(num_frames):
            frame, size = jnp.zeros_like(state.window), self.config.top_frame_size
            uniform = block_noise(state.keys, state.position, 1, size)
            times_s = block_times(state.position, 1, size) / self.sample_rate_hz
            strategy = Strategy(*(points and at(points, times_s) for points in settings))
            for place in range(size):
                inputs = place, uniform, strategy, conditions
                frame, carry = with_next(self.config, self._params, state, frame, *inputs)
            position = advance(state.position, jnp.uint32(1))
            state = state._replace(window=frame, carry=carry, position=position)
            blocks.append(frame)
        tokens = np.concatenate(blocks, axis=1)
        return (state, settings, conditions), Block(tokens, np.zeros(tokens.shape, np.float32))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(ENGINES, "unfolded", Unfolded)


def stream(engine):
    """In double precision, so that rounding decides no token."""
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), random_params(TINY))
    generator = Generator(TINY, params, RATE, engine=engine)
    temperature = [Schedule((0.0, 0.5), (0.5, 2.0)), 1.0]
    prompt = np.linspace(-0.9, 0.9, 11)
    return generator, generator.stream(jax.random.key(3), 2, 0.07, temperature, prompt, top_p=0.9)


def test_engines_keep_the_protocol():
    for prepare in ENGINES.values():
        assert isinstance(prepare(TINY, random_params(TINY), RATE, jax.devices()), Engine)


def test_another_engine_draws_the_same_tokens():
    with jax.enable_x64():
        (_, expected), (_, found) = stream("scan"), stream("unfolded")
        for _ in range(2):
            np.testing.assert_array_equal(next(found), next(expected))


@pytest.mark.parametrize("engines", [("scan", "unfolded"), ("unfolded", "scan")])
def test_what_one_engine_saved_another_goes_on_with(engines, tmp_path):
    with jax.enable_x64():
        (_, saved), (generator, _) = map(stream, engines)
        next(saved)
        saved.save(tmp_path / "state.npz")
        np.testing.assert_array_equal(next(generator.resume(tmp_path / "state.npz")), next(saved))


def test_an_unknown_engine_is_named():
    with pytest.raises(ValueError, match="engine='none': must be one of scan"):
        Generator(TINY, random_params(TINY), RATE, engine="none")
