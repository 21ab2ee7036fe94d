import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig
from samplernn_jax.training.optimizer import make_optimizer


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


@pytest.mark.parametrize("size", [0.1, 1e-4, 1e-7, 1e-9])
def test_epsilon_is_added_before_the_bias_correction(size):
    """Down to gradients that are so small that epsilon decides; in float64 NumPy."""
    optimizer = make_optimizer(OptimizerConfig(learning_rate=0.001))
    gradients = size * np.random.default_rng(0).normal(size=(5, 7))
    params = jnp.zeros(7)
    state, mean, squares, expected = optimizer.init(params), 0.0, 0.0, np.zeros(7)
    for t, gradient in enumerate(gradients, start=1):
        update, state = jax.jit(optimizer.update)(jnp.asarray(gradient, jnp.float32), state)
        params = params + update
        mean = 0.9 * mean + 0.1 * gradient
        squares = 0.999 * squares + 0.001 * gradient**2
        rate = 0.001 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        expected -= rate * mean / (np.sqrt(squares) + 1e-8)
    np.testing.assert_allclose(params, expected, atol=1e-7)
