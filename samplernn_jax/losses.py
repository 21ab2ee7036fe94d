"""The loss, which is also the field's measure: negative log-likelihood in bits per sample."""

import math

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped


def token_bits(
    logits: Float[Array, "*shape q_levels"], tokens: Int[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Returns -log2 p(token) for each token."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens) / math.log(2)


def total_bits(
    logits: Float[Array, "batch time q_levels"],
    targets: Int[Array, "batch time"],
    mask: Shaped[Array, "batch time"],
) -> Float[Array, ""]:
    """Returns the sum of -log2 p(target) over unmasked targets; the mask is bool, or 0s and 1s."""
    return jnp.sum(token_bits(logits, targets) * mask)


def bits_per_sample(
    logits: Float[Array, "batch time q_levels"],
    targets: Int[Array, "batch time"],
    mask: Shaped[Array, "batch time"],
) -> Float[Array, ""]:
    """Returns the mean of -log2 p(target) over the unmasked targets; 0 if all are masked."""
    return total_bits(logits, targets, mask) / jnp.maximum(jnp.sum(mask), 1)
