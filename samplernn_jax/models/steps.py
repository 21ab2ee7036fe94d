"""One step of each part of a folded model, for a batch that lies in columns: [features, batch].

On CPUs, W @ x with x [inputs, batch] is what XLA multiplies fastest for few sequences and for many.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samplernn_jax.models.fold import (
    FoldedGRU,
    FoldedLinear,
    FoldedLSTM,
    FoldedRNN,
    FoldedSampleRNN,
    FoldedTier,
    FoldedWaveNet,
)
from samplernn_jax.models.wavenet.module import amplitudes

States = tuple[Array, ...]
"""Of an RNN's layers, each [state, batch]."""


def linear(weights: FoldedLinear, x: Float[Array, "inputs batch"]) -> Float[Array, "outputs batch"]:
    """W @ x + b."""
    return weights.kernel @ x + weights.bias


def head(
    layers: tuple[FoldedLinear, ...], x: Float[Array, "dim batch"]
) -> Float[Array, "batch q_levels"]:
    """The logits, with rectifiers between the layers."""
    for layer in layers[:-1]:
        x = jax.nn.relu(linear(layer, x))
    # The barrier keeps XLA from transposing the factors instead of the product, for which its CPU
    # backend takes twenty times as long.
    return jax.lax.optimization_barrier(linear(layers[-1], x)).T


def lookup(table: Float[Array, "rows dim"], rows: Int[Array, "window batch"]) -> Array:
    """The sum [dim, batch] of the rows."""
    return jnp.sum(table[rows], axis=0).T


def gru(
    weights: FoldedGRU, state: Float[Array, "dim batch"], projected: Float[Array, "gates batch"]
) -> Float[Array, "dim batch"]:
    """The next state, as `samplernn_jax.models.rnn.gru_step` has it."""
    dim = len(state)
    gates = jax.nn.sigmoid(projected[: 2 * dim] + weights.gates @ state)
    update, reset = gates[:dim], gates[dim:]
    candidate = jnp.tanh(projected[2 * dim :] + weights.candidate @ (reset * state))
    return update * candidate + (1 - update) * state


def lstm(
    weights: FoldedLSTM, state: Float[Array, "state batch"], projected: Float[Array, "gates batch"]
) -> Float[Array, "state batch"]:
    """The next hidden and cell state, as `samplernn_jax.models.rnn.lstm_step` has them."""
    dim = len(state) // 2
    gates = projected + weights.gates @ state[:dim]
    i, f, o = jnp.split(jax.nn.sigmoid(gates[: 3 * dim]), 3)
    cell = f * state[dim:] + i * jnp.tanh(gates[3 * dim :])
    return jnp.concatenate([o * jnp.tanh(cell), cell])


def stacked_rnn(
    rnn: FoldedRNN, states: States, inputs: Float[Array, "projections batch"]
) -> tuple[Float[Array, "dim batch"], States]:
    """The output and the next states.

    Args:
        rnn: its layers.
        states: one per layer.
        inputs: the projections of the RNN's input for the layers that read it, side by side.
    """
    new_states: list[Array] = []
    outputs: list[Array] = []
    for number, (layer, state) in enumerate(zip(rnn.layers, states, strict=True)):
        is_gru = isinstance(layer.recurrent, FoldedGRU)
        dim = len(state) if is_gru else len(state) // 2
        size = (3 if is_gru else 4) * dim
        projected = inputs[number * size : (number + 1) * size]  # empty where it reads no input
        if layer.below is not None:
            from_below = linear(layer.below, outputs[-1])
            projected = projected + from_below if rnn.skips is not None else from_below
        if isinstance(layer.recurrent, FoldedGRU):
            state = gru(layer.recurrent, state, projected)
        else:
            state = lstm(layer.recurrent, state, projected)
        new_states.append(state)
        outputs.append(state[:dim])
    if rnn.skips is None:
        return outputs[-1], tuple(new_states)
    return linear(rnn.skips, jnp.concatenate(outputs)), tuple(new_states)


def conditioned_input(
    tier: FoldedTier, conditioning: Float[Array, "frames dim batch"]
) -> Float[Array, "frames projections batch"]:
    """What each of a tier's next frames gets from the tier above, all projected at once."""
    frames, dim, batch = conditioning.shape
    side_by_side = conditioning.swapaxes(0, 1).reshape(dim, frames * batch)
    assert tier.above is not None, "the top tier has nothing above it"
    projected = (tier.above @ side_by_side).reshape(-1, frames, batch)
    return projected.swapaxes(0, 1) + tier.bias[None]


def sample_level_mlp(
    model: FoldedSampleRNN, window: Int[Array, "window batch"], conditioning: Array
) -> Float[Array, "batch q_levels"]:
    """Logits of the sample after a window of tokens, from the conditioning [dim, batch]."""
    rows = window + model.q_levels * jnp.arange(len(window))[:, None]
    return head(model.head, jax.nn.relu(conditioning + lookup(model.tables, rows)))


def wavenet(
    model: FoldedWaveNet,
    token: Int[Array, " batch"],
    caches: tuple[Array, ...],
    position: Int[Array, ""],
) -> tuple[Float[Array, "batch q_levels"], tuple[Array, ...]]:
    """Logits of the sample after a token, at a cost that does not depend on the dilations.

    Args:
        model: its weights.
        token: the latest sample of each sequence.
        caches: the latest inputs of every layer, [dilation + 1, channels, batch], a ring: input t
            is at t % (dilation + 1).
        position: t of this step.
    """
    x = amplitudes(token, len(model.head[-1].bias))[None]
    skips, new_caches = [], []
    for layer, cache in zip(model.layers, caches, strict=True):
        # Written first and read then, so that it can be updated in place.
        cache = cache.at[position % len(cache)].set(x)
        new_caches.append(cache)
        past = cache[(position + 1) % len(cache)]
        gate, value = jnp.split(linear(layer.dilated, jnp.concatenate([past, x])), 2)
        residual, skip = jnp.split(layer.mix @ (jnp.tanh(value) * jax.nn.sigmoid(gate)), 2)
        x = residual + x if len(x) == len(residual) else residual  # as in `DilatedLayer`
        skips.append(skip)
    return head(model.head, sum(skips[1:], start=skips[0])), tuple(new_caches)
