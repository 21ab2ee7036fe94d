import jax.numpy as jnp
import numpy as np
import pytest

import samplernn_jax as srnn


def test_uniform_logits_cost_the_logarithm_of_the_levels():
    logits = jnp.zeros((2, 3, 64))
    targets, mask = jnp.zeros((2, 3), jnp.int32), jnp.ones((2, 3), bool)
    assert srnn.bits_per_sample(logits, targets, mask) == pytest.approx(6.0)


@pytest.mark.parametrize("dtype", [bool, np.float32])
def test_masked_targets_do_not_count(dtype):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 4, 8)).astype(np.float32)
    targets = rng.integers(0, 8, (2, 4)).astype(np.int32)
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 1]], dtype)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = np.take_along_axis(probabilities, targets[..., None], -1)[..., 0]
    expected = -np.log2(chosen)[mask.astype(bool)].mean()
    actual = srnn.bits_per_sample(jnp.asarray(logits), jnp.asarray(targets), jnp.asarray(mask))
    assert actual == pytest.approx(expected, rel=1e-5)


def test_all_masked_is_zero():
    logits, targets = jnp.zeros((1, 2, 4)), jnp.zeros((1, 2), jnp.int32)
    assert srnn.bits_per_sample(logits, targets, jnp.zeros((1, 2), bool)) == 0
