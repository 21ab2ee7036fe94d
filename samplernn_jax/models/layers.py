"""Weight-normed linear maps, which make up the tier stack together with its RNNs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import Initializer
from flax.linen.initializers import orthogonal as orthogonal_init
from jaxtyping import Array, Float

from samplernn_jax.models.options import Products

# The original's "he" and None initializations (lib/ops.py): uniform, not normal.
he_init = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")
_lecun_init = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


def default_init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
    """Draws LeCun uniform, orthogonal for a square matrix: the original's initialization None."""
    if shape[0] == shape[1]:
        return orthogonal_init()(key, shape, dtype)
    return _lecun_init(key, shape, dtype)


def normalize_weight(
    kernel: Float[Array, "inputs outputs"], scale: Float[Array, " outputs"]
) -> Float[Array, "inputs outputs"]:
    """Applies weight normalization, g * v / |v| for each output column, without epsilon."""
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


def matmul(
    x: Float[Array, "*batch inputs"], kernel: Float[Array, "inputs outputs"], products: Products
) -> Float[Array, "*batch outputs"]:
    """Multiplies x @ kernel, with factors as `products` says; results and gradients are like x."""
    if products.dtype == "bfloat16":
        return _bfloat16_matmul(x, kernel)
    return jnp.dot(x, kernel, precision=products.precision)


@jax.custom_vjp
def _bfloat16_matmul(x: Array, kernel: Array) -> Array:
    """Rounds the factors of a product and nothing else.

    The gradient that JAX derives rounds its results to the type of the factors.
    """
    return _bfloat16_dot(x, kernel, x.dtype)


def _bfloat16_dot(x: Array, y: Array, dtype: jnp.dtype) -> Array:
    """Returns the product of the rounded factors, as `dtype`."""

    def multiply(x: Array, y: Array) -> Array:
        x, y = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
        return jnp.dot(x, y, preferred_element_type=dtype)

    def multiply_on_cpu(x: Array, y: Array) -> Array:
        # XLA on CPUs does not have this product for every shape. The float32 product of numbers
        # that bfloat16 can hold is the same.
        x, y = (jax.lax.reduce_precision(factor.astype(dtype), 8, 7) for factor in (x, y))
        return jnp.dot(x, y)

    return jax.lax.platform_dependent(x, y, cpu=multiply_on_cpu, default=multiply)


def _bfloat16_matmul_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    factors = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    return _bfloat16_dot(*factors, x.dtype), factors


def _bfloat16_matmul_backward(
    factors: tuple[Array, Array], of_result: Array
) -> tuple[Array, Array]:
    x, kernel = factors
    inputs, outputs = kernel.shape
    rows = x.reshape(-1, inputs).T, of_result.reshape(-1, outputs)
    return (
        _bfloat16_dot(of_result, kernel.T, of_result.dtype),
        _bfloat16_dot(*rows, of_result.dtype),
    )


_bfloat16_matmul.defvjp(_bfloat16_matmul_forward, _bfloat16_matmul_backward)


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
    products: Products = Products()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Maps the last axis; see `matmul` for `products`."""
        shape = (x.shape[-1], self.outputs)
        kernel = _weight_param(self, self.initializer, shape, self.weight_norm)
        y = matmul(x, kernel, self.products)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.outputs,))
            y = y + jnp.broadcast_to(bias, y.shape)
        return y
