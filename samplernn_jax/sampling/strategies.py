"""From logits to a token: pure functions of the logits and of one uniform random number."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def sample_token(
    logits: Float[Array, "batch q_levels"],
    uniform: Float[Array, " batch"],
    temperature: Float[Array, ""],
) -> Int[Array, " batch"]:
    """Draws from softmax(logits / temperature) by inverting its cumulative distribution.

    Args:
        logits: unnormalized log-probabilities.
        uniform: one number in [0, 1) per sequence.
        temperature: below 1 favours likely tokens; 0 always takes the likeliest.
    """
    probabilities = jax.nn.softmax(logits / jnp.where(temperature > 0, temperature, 1.0))
    cumulative = jnp.cumsum(probabilities, axis=-1)
    # Scaled by the last entry, which rounding may have moved off 1.
    below = cumulative <= (uniform * cumulative[:, -1])[:, None]
    drawn = jnp.minimum(jnp.sum(below, axis=-1), logits.shape[-1] - 1)
    return jnp.where(temperature > 0, drawn, jnp.argmax(logits, axis=-1)).astype(jnp.int32)
