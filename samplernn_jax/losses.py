"""The field's number: negative log-likelihood in bits per sample."""

import math

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped


def token_bits(
    logits: Float[Array, "*shape q_levels"], tokens: Int[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """-log2 p(token) of each token."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens) / math.log(2)


def total_bits(
    logits: Float[Array, "batch time q_levels"],
    targets: Int[Array, "batch time"],
    mask: Shaped[Array, "batch time"],
) -> Float[Array, ""]:
    """Sum over the unmasked targets of -log2 p(target); the mask is bool or of zeros and ones."""
    return jnp.sum(token_bits(logits, targets) * mask)


def bits_per_sample(
    logits: Float[Array, "batch time q_levels"],
    targets: Int[Array, "batch time"],
    mask: Shaped[Array, "batch time"],
) -> Float[Array, ""]:
    """Mean of -log2 p(target) over the unmasked targets; 0 where all are masked."""
    return total_bits(logits, targets, mask) / jnp.maximum(jnp.sum(mask), 1)
