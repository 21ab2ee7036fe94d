"""The parts of folded models: matrices for a batch that lies in columns, [features, batch].

On CPUs, W @ x with x [inputs, batch] is what XLA multiplies fastest for few sequences and for many.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from samplernn_jax.models.types import Choose, Params

T = TypeVar("T")

Matrix = Any
"""A numpy array from `fold`, or the same array on a device."""


class FoldedLinear(NamedTuple):
    """The linear map W @ x + b."""

    kernel: Matrix  # [outputs, inputs]
    bias: Matrix  # [outputs, 1]


def fold_in_float64(params: Params, fold: Callable[[Params], T]) -> T:
    """Folds parameters in float64, and rounds the result once to their own type."""
    dtype = jax.tree.leaves(params)[0].dtype
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), jax.device_get(params))
    return jax.tree.map(lambda x: np.ascontiguousarray(x, dtype), fold(exact))


def fold_linear(params: Params) -> FoldedLinear:
    """Returns a folded `Linear`; its bias is 0 if the `Linear` has none."""
    kernel = fold_kernel(params)
    return FoldedLinear(kernel, params.get("bias", np.zeros(len(kernel)))[:, None])


def fold_kernel(params: Params) -> np.ndarray:
    """Returns a matrix [outputs, inputs] with weight normalization applied."""
    kernel = params["kernel"].T
    if "scale" not in params:
        return kernel
    return kernel * (params["scale"] / np.linalg.norm(kernel, axis=1))[:, None]


def after_each(after: FoldedLinear, linear: FoldedLinear) -> FoldedLinear:
    """Returns `after` applied to each vector that `linear` makes; they are stacked vertically."""
    size = after.kernel.shape[1]
    kernel = after.kernel @ linear.kernel.reshape(-1, size, linear.kernel.shape[1])
    bias = after.kernel @ linear.bias.reshape(-1, size, 1) + after.bias
    return FoldedLinear(kernel.reshape(-1, kernel.shape[2]), bias.reshape(-1, 1))


def linear(weights: FoldedLinear, x: Float[Array, "inputs batch"]) -> Float[Array, "outputs batch"]:
    """Returns W @ x + b."""
    return weights.kernel @ x + weights.bias


def head(
    layers: tuple[FoldedLinear, ...], x: Float[Array, "dim batch"]
) -> Float[Array, "batch q_levels"]:
    """Returns the logits; there are rectifiers between the layers."""
    for layer in layers[:-1]:
        x = jax.nn.relu(linear(layer, x))
    # The barrier keeps XLA from transposing the factors instead of the product, for which its CPU
    # backend takes twenty times as long.
    return jax.lax.optimization_barrier(linear(layers[-1], x)).T


def choose_sample(
    logits: Float[Array, "batch q_levels"], inputs: Any, choose: Choose
) -> tuple[Int[Array, "1 batch"], Any]:
    """Returns the tokens of one sample, and the values that `choose` keeps, [1, batch, ...].

    Args:
        logits: the logits of the sample.
        inputs: a pytree of [1, batch].
        choose: picks the tokens.
    """
    tokens, kept = choose(logits, jax.tree.map(lambda x: x[0], inputs))
    return tokens[None], jax.tree.map(lambda x: x[None], kept)


def columns(x: Array) -> Array:
    """Moves the batch to the end, in memory: [batch, ...] -> [..., batch].

    Without that XLA, where it unrolls a loop of one step, transposes matrices instead; see `head`.
    """
    return jax.lax.optimization_barrier(jnp.moveaxis(x, 0, -1))


def num_bytes(folded: Any) -> float:
    """Returns the bytes of a folded model, or of a part of one."""
    return float(sum(leaf.nbytes for leaf in jax.tree.leaves(folded)))
