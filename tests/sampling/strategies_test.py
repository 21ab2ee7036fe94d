import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.sampling.strategies import sample_token

LOGITS = np.log([0.1, 0.2, 0.4, 0.3]).astype(np.float32)


def draw(uniform, temperature=1.0, logits=LOGITS):
    uniform = jnp.asarray(uniform, jnp.float32)
    rows = jnp.broadcast_to(jnp.asarray(logits), (len(uniform), len(logits)))
    return np.asarray(sample_token(rows, uniform, jnp.float32(temperature)))


def test_inverts_the_cumulative_distribution():
    np.testing.assert_array_equal(
        draw([0.0, 0.09, 0.11, 0.29, 0.31, 0.69, 0.71, 0.99999]), [0, 0, 1, 1, 2, 2, 3, 3]
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_tempered_distribution(temperature):
    uniform = jax.random.uniform(jax.random.key(0), (40_000,))
    counts = np.bincount(draw(uniform, temperature), minlength=4) / len(uniform)
    expected = np.exp(LOGITS / temperature)
    np.testing.assert_allclose(counts, expected / expected.sum(), atol=0.01)


def test_zero_temperature_takes_the_likeliest():
    assert set(draw(np.linspace(0, 0.999, 50), 0.0)) == {2}


def test_extreme_logits_stay_in_range():
    logits = np.array([-1e9, 1e4, -1e9, -1e9], np.float32)
    assert set(draw([0.0, 0.5, 0.9999999], logits=logits)) == {1}
