"""Weight-normed linear maps, of which the tier stack consists beside its RNNs."""

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.initializers import Initializer
from flax.linen.initializers import orthogonal as orthogonal_init
from jaxtyping import Array, Float

# The original's "he" and None initializations (lib/ops.py): uniform, not normal.
he_init = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")
_lecun_init = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


def default_init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
    """LeCun uniform, or orthogonal for a square matrix: the original's initialization None."""
    if shape[0] == shape[1]:
        return orthogonal_init()(key, shape, dtype)
    return _lecun_init(key, shape, dtype)


def normalize_weight(
    kernel: Float[Array, "inputs outputs"], scale: Float[Array, " outputs"]
) -> Float[Array, "inputs outputs"]:
    """Weight normalization, g * v / |v| for each output column, without epsilon."""
    norm = jnp.linalg.norm(kernel, axis=0)
    return kernel * (scale / norm)[None, :]


def _weight_param(
    module: nn.Module, initializer: Initializer, shape: tuple[int, int], weight_norm: bool
) -> Float[Array, "inputs outputs"]:
    """Declares a matrix on `module`: `kernel`, and with weight norm its column gains `scale`.

    The gain starts at the norm of the initial column, so that normalization changes nothing at
    first (Salimans and Kingma 2016, and lib/ops.py of the original).
    """
    kernel = module.param("kernel", initializer, shape)
    if not weight_norm:
        return kernel
    scale = module.param("scale", lambda _: jnp.linalg.norm(kernel, axis=0))
    return normalize_weight(kernel, scale)


def matmul(x: Float[Array, "*batch inputs"], kernel: Array, dtype: str) -> Array:
    """X @ kernel with factors of `dtype`, "bfloat16" or as they are, and a result like x.

    The conversion is part of each product, so that gradients that are summed up over the steps of
    a loop are summed in float32.
    """
    if dtype == "bfloat16":
        return jnp.dot(x.astype(dtype), kernel.astype(dtype)).astype(x.dtype)
    return jnp.dot(x, kernel)


class Weight(nn.Module):
    """A matrix [inputs, outputs] on its own."""

    inputs: int
    outputs: int
    initializer: Initializer
    weight_norm: bool

    @nn.compact
    def __call__(self) -> Float[Array, "inputs outputs"]:
        """The matrix to multiply with."""
        return _weight_param(self, self.initializer, (self.inputs, self.outputs), self.weight_norm)


class Linear(nn.Module):
    """x @ W + b over the last axis."""

    outputs: int
    initializer: Initializer
    weight_norm: bool
    use_bias: bool = True
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Maps the last axis; see `matmul` for `dtype`."""
        shape = (x.shape[-1], self.outputs)
        kernel = _weight_param(self, self.initializer, shape, self.weight_norm)
        y = matmul(x, kernel, self.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.outputs,))
            y = y + jnp.broadcast_to(bias, y.shape)
        return y
