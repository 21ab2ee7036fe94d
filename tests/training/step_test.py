import jax
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig
from samplernn_jax.training.step import init_state, make_optimizer
from tests.models import TINY


def test_gradients_are_clipped_element_by_element_before_adam():
    optimizer = make_optimizer(OptimizerConfig(learning_rate=0.1, clip_value=1.0))
    params = {"x": np.zeros(2, np.float32)}
    big, clipped = {"x": np.array([50.0, -0.5])}, {"x": np.array([1.0, -0.5])}
    state_big, state_clipped = optimizer.init(params), optimizer.init(params)
    for _ in range(3):
        update, state_big = optimizer.update(big, state_big, params)
        expected, state_clipped = optimizer.update(clipped, state_clipped, params)
        np.testing.assert_array_equal(update["x"], expected["x"])
    np.testing.assert_allclose(update["x"], [-0.1, 0.1], rtol=1e-4)


def test_the_seed_determines_the_initial_parameters():
    optimizer = make_optimizer(OptimizerConfig())
    first, again, other = (init_state(TINY, optimizer, jax.random.key(s)) for s in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert int(first.step) == 0
    with pytest.raises(AssertionError):
        jax.tree.map(np.testing.assert_array_equal, first.params, other.params)
