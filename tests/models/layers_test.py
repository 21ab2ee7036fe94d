import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.models.layers import matmul
from samplernn_jax.models.options import Products
from tests.tiny_models import GRID, apply, random_params, random_tokens


def rounded(x):
    return np.asarray(jnp.asarray(x, jnp.bfloat16), np.float64)


def test_bfloat16_rounds_the_factors_of_a_product_and_of_its_gradients_and_nothing_else():
    rng = np.random.default_rng(0)
    x, kernel, of_result = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((3, 50, 64), (64, 32), (3, 50, 32))
    )
    products = Products(dtype="bfloat16")
    result, backward = jax.vjp(lambda x, kernel: matmul(x, kernel, products), x, kernel)
    of_x, of_kernel = backward(of_result)
    expected = [
        (result, rounded(x) @ rounded(kernel)),
        (of_x, rounded(of_result) @ rounded(kernel).T),
        (of_kernel, np.einsum("bti,bto->io", rounded(x), rounded(of_result))),
    ]
    for ours, theirs in expected:
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
    exact = np.asarray(x, np.float64) @ np.asarray(kernel, np.float64)
    assert np.abs(result - exact).max() > 1e-3, "the factors are rounded"


def test_gradients_of_bfloat16_products_are_those_of_float32_but_for_the_rounded_factors():
    """By as much as two factors of 8 bits are off, however many terms a sum has."""
    rng = np.random.default_rng(0)
    x, kernel, of_result = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((4096, 64), (64, 32), (4096, 32))
    )
    (of_x, of_kernel), exact = (
        jax.vjp(lambda x, kernel, p=products: matmul(x, kernel, p), x, kernel)[1](of_result)
        for products in (Products(dtype="bfloat16"), Products())
    )
    for ours, theirs in zip((of_x, of_kernel), exact, strict=True):
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert 2**-11 < error < 2**-8


@pytest.mark.parametrize(
    "name",
    [
        *("1tier", "skip_lstm_onehot"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("2tier", "skip_gru", "4tier_lstm", "independent")
        ),
    ],
)
def test_no_gradient_of_a_matrix_is_rounded_to_bfloat16(name):
    config = dataclasses.replace(GRID[name], dtype="bfloat16", weight_norm=False)
    params, tokens = random_params(config), random_tokens(config, batch=2, num_frames=3)

    @jax.jit
    @jax.grad
    def gradients(params):
        return jnp.sum(jnp.sin(apply(config, params, tokens)[0]))

    for path, gradient in jax.tree.leaves_with_path(gradients(params)):
        if gradient.ndim > 1 and np.any(gradient != 0):
            is_rounded = rounded(gradient) == np.asarray(gradient)
            # Rows of tokens that do not occur are zero, and small ones may be so by chance.
            assert is_rounded[np.asarray(gradient) != 0].mean() < 0.2, jax.tree_util.keystr(path)
