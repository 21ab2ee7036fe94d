"""Decoding with a folded WaveNet, sample by sample, for a batch that lies in columns.

The only memory is the last token and the caches of the layers.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samplernn_jax.models.folded import choose_sample, columns, head, linear
from samplernn_jax.models.types import Choose
from samplernn_jax.models.wavenet.fold import FoldedWaveNet
from samplernn_jax.models.wavenet.module import Caches, amplitudes


def to_memory(caches: Caches) -> Caches:
    """Returns the caches in columns."""
    return tuple(columns(cache) for cache in caches)


def to_caches(memory: Caches, num_steps: int) -> Caches:
    """Reverses `to_memory`, `num_steps` steps later.

    The rings are turned so that the next block, which counts its steps from 0 again, fits on.
    """
    turned = (jnp.roll(cache, -num_steps, axis=0) for cache in memory)
    return tuple(jnp.moveaxis(cache, -1, 0) for cache in turned)


def decode_sample(
    model: FoldedWaveNet,
    window: Int[Array, "1 batch"],
    memory: Caches,
    number: Int[Array, ""],
    inputs: Any,
    choose: Choose,
) -> tuple[Caches, Int[Array, "1 batch"], Any]:
    """Generates one sample.

    Args:
        model: the whole model.
        window: the latest token of each sequence.
        memory: the caches in columns.
        number: the number of the sample in its block.
        inputs: a pytree of [1, batch].
        choose: picks the tokens.

    Returns:
        The memory after the sample, the tokens, and the values that `choose` kept, [1, batch, ...].
    """
    logits, memory = next_logits(model, window[0], memory, number)
    return memory, *choose_sample(logits, inputs, choose)


def next_logits(
    model: FoldedWaveNet,
    token: Int[Array, " batch"],
    caches: Caches,
    position: Int[Array, ""],
) -> tuple[Float[Array, "batch q_levels"], Caches]:
    """Returns logits of the sample after a token, at a cost independent of the dilations.

    Args:
        model: the whole model.
        token: the latest sample of each sequence.
        caches: the latest inputs of every layer, [dilation + 1, channels, batch], a ring: input t
            is at t % (dilation + 1).
        position: t of this step.
    """
    x = amplitudes(token, len(model.head[-1].bias))[None]
    skips, new_caches = [], []
    for layer, cache in zip(model.layers, caches, strict=True):
        # It is written before it is read, so that it can be updated in place.
        cache = cache.at[position % len(cache)].set(x)
        new_caches.append(cache)
        past = cache[(position + 1) % len(cache)]
        gate, value = jnp.split(linear(layer.dilated, jnp.concatenate([past, x])), 2)
        residual, skip = jnp.split(layer.mix @ (jnp.tanh(value) * jax.nn.sigmoid(gate)), 2)
        x = residual + x if len(x) == len(residual) else residual  # as in `DilatedLayer`
        skips.append(skip)
    return head(model.head, sum(skips[1:], start=skips[0])), tuple(new_caches)
