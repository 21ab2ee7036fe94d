import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig
from samplernn_jax.training.optimizer import learning_rate_schedule, make_optimizer


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


def rates(count=60, **settings):
    schedule = learning_rate_schedule(OptimizerConfig(learning_rate=0.5, **settings))
    return np.array([schedule(step) for step in range(count)])


def test_the_learning_rate_is_constant_unless_asked_otherwise():
    np.testing.assert_allclose(rates(), 0.5)


def test_warm_up_rises_evenly_to_the_learning_rate():
    np.testing.assert_allclose(rates(warmup_steps=10)[:10], 0.05 * np.arange(1, 11), rtol=1e-6)
    np.testing.assert_allclose(rates(warmup_steps=10)[9:], 0.5, rtol=1e-6)
    np.testing.assert_allclose(rates(warmup_steps=1), 0.5)


def test_the_cosine_falls_to_its_end_and_stays_there():
    found = rates(schedule="cosine", decay_steps=40, decay_rate=0.2, warmup_steps=5)
    np.testing.assert_allclose(found[[5, 25, 45, 59]], [0.5, 0.3, 0.1, 0.1], rtol=1e-5)
    assert (np.diff(found[5:45]) < 0).all()


def test_the_exponential_falls_by_the_same_factor_again_and_again():
    found = rates(schedule="exponential", decay_steps=20, decay_rate=0.1)
    np.testing.assert_allclose(found[[0, 20, 40]], [0.5, 0.05, 0.005], rtol=1e-5)
    np.testing.assert_allclose(found[1:] / found[:-1], 0.1 ** (1 / 20), rtol=1e-5)


def test_the_norm_of_the_gradient_is_clipped_after_its_elements():
    params = {"x": jnp.zeros(2)}
    for settings, expected in (
        ({"clip_value": 0.0, "clip_norm": 5.0}, [3.0, 4.0]),
        ({"clip_value": 30.0, "clip_norm": 30.0}, [30 / 2**0.5, 30 / 2**0.5]),
        ({"clip_value": 8.0, "clip_norm": 0.0}, [8.0, 8.0]),
        ({"clip_value": 0.0, "clip_norm": 0.0}, [30.0, 40.0]),
    ):
        optimizer = make_optimizer(OptimizerConfig(**settings))
        _, state = optimizer.update({"x": jnp.array([30.0, 40.0])}, optimizer.init(params), params)
        adam = state[2]
        np.testing.assert_allclose(adam.mean["x"], 0.1 * np.array(expected), rtol=1e-5)


@pytest.mark.parametrize(
    "settings", [{"clip_norm": 1.0, "clip_value": 0.0}, {"schedule": "cosine", "decay_steps": 9}]
)
def test_the_state_has_one_structure_so_that_a_run_can_go_on_with_other_settings(settings):
    params = {"x": jnp.zeros(2)}
    plain = make_optimizer(OptimizerConfig()).init(params)
    other = make_optimizer(OptimizerConfig(warmup_steps=3, **settings)).init(params)
    assert jax.tree.structure(plain) == jax.tree.structure(other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "linear"}, "schedule='linear': must be one of constant, cosine, exponential"),
        ({"schedule": "cosine"}, "decay_steps=0: must be greater than 0 with schedule='cosine'"),
        ({"ema_decay": 1.0}, "ema_decay=1.0: must be at least 0 and less than 1"),
        ({"warmup_steps": -1}, "warmup_steps=-1: must be at least 0"),
        (
            {"schedule": "exponential", "decay_steps": 9, "decay_rate": 0.0},
            "decay_rate=0.0: must be greater than 0",
        ),
    ],
)
def test_settings_name_the_rule_they_break(settings, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**settings)
