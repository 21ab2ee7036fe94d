import jax
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.runs.checkpoint import Checkpoint
from samplernn_jax.training.position import Position, from_checkpoint, to_checkpoint
from samplernn_jax.training.step import init_state
from tests.tiny_models import TINY, random_params


def make_position(ema_decay, seed):
    state = init_state(OptimizerConfig(ema_decay=ema_decay), random_params(TINY, seed))
    average = random_params(TINY, seed + 1) if ema_decay else None
    carry = initial_carry(TINY, state.params, 8)
    return Position(state._replace(step=np.int32(seed), average=average), carry)


def assert_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_position_is_that_of_its_checkpoint(ema_decay):
    position, fresh = make_position(ema_decay, 3), make_position(ema_decay, 5)
    assert_equal(from_checkpoint(to_checkpoint(position), fresh), position)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_no_array_is_saved_twice_and_what_is_evaluated_is_apart(ema_decay):
    position = make_position(ema_decay, 3)
    params, rest = to_checkpoint(position)
    assert_equal(params, position.state.average or position.state.params)
    assert ("params" in rest) == bool(ema_decay)
    assert len(jax.tree.leaves((params, rest))) == len(jax.tree.leaves(position))


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_an_imported_model_begins_with_its_parameters_and_their_average(ema_decay):
    fresh, params = make_position(ema_decay, 5), random_params(TINY, 7)
    state, carry = from_checkpoint(Checkpoint(params, None), fresh)
    assert_equal(state.params, params)
    assert_equal(state.average, params if ema_decay else None)
    assert_equal((state.step, state.opt_state, carry), (np.int32(5), *fresh[0][2:3], fresh.carry))
