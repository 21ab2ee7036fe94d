"""What holds for every architecture, and the place of conditions."""

import typing

import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.data.segments import Segment
from samplernn_jax.evaluation import step as evaluation_step
from samplernn_jax.models.interface import Architecture, ArchitectureConfig, architecture
from samplernn_jax.sampling.engines import scan
from samplernn_jax.sampling.engines.interface import first_state
from tests.tiny_models import TINY, TINY_WAVENET, fold, random_params, random_tokens


@pytest.mark.parametrize("config", typing.get_args(ArchitectureConfig))
def test_every_configuration_has_an_architecture(config):
    assert isinstance(architecture(config()), Architecture)


class Recorded:
    """An architecture that notes what it is conditioned on."""

    def __init__(self, model, conditions):
        self._model, self._conditions = model, conditions

    def __getattr__(self, name):
        return getattr(self._model, name)

    def apply(self, params, tokens, carry=None, reset=None, conditions=()):
        self._conditions.append(conditions)
        return self._model.apply(params, tokens, carry, reset, conditions)

    def decode_frame(self, folded, memory, frame, choose):
        self._conditions.append(frame.conditions)
        return self._model.decode_frame(folded, memory, frame, choose)


@pytest.fixture
def conditions(monkeypatch):
    """What models are given as conditions."""
    given = []
    for module in (evaluation_step, scan):
        monkeypatch.setattr(module, "architecture", lambda c: Recorded(architecture(c), given))
    return given


@pytest.mark.parametrize("config", [TINY, TINY_WAVENET])
def test_what_a_segment_is_conditioned_on_reaches_the_model(config, conditions):
    params, tokens = random_params(config), np.asarray(random_tokens(config, 2, 3))
    shape = 2, tokens.shape[1] - config.overlap
    labels = {"label": np.array([3, 1])}
    segment = Segment(tokens, np.ones(shape, bool), np.zeros((2, 3), bool), labels)
    carry = architecture(config).initial_carry(params, 2)
    bits, _ = evaluation_step.segment_bits(config, params, carry, segment)
    np.testing.assert_array_equal(conditions[0]["label"], labels["label"])
    unconditioned, _ = evaluation_step.segment_bits(
        config, params, carry, segment._replace(conditions=())
    )
    assert conditions[1] == ()
    np.testing.assert_array_equal(bits.total, unconditioned.total)


@pytest.mark.parametrize("config", [TINY, TINY_WAVENET])
def test_what_a_block_is_conditioned_on_reaches_the_model(config, conditions):
    params, tokens = random_params(config), random_tokens(config, 2, 2)
    state = first_state(config, params, tokens[:, : config.overlap], jnp.zeros(2))
    labels = {"label": jnp.array([3, 1])}
    forced = tokens[:, config.overlap :]
    scan.decode(config, fold(config, params), state, forced, lambda x, y: (y, None), labels)
    np.testing.assert_array_equal(conditions[0]["label"], labels["label"])
