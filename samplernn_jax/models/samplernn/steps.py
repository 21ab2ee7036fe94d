"""Decoding with a folded SampleRNN: one frame of its top tier, for a batch that lies in columns.

A tier's frame consists of the samples that the tiers below it generated in the last round, so the
only memory is one window of tokens and one RNN state per tier.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samplernn_jax.models.folded import choose_sample, columns, head, linear
from samplernn_jax.models.samplernn.config import ModelConfig
from samplernn_jax.models.samplernn.fold import (
    FoldedGRU,
    FoldedLSTM,
    FoldedRNN,
    FoldedSampleLevelRNN,
    FoldedSampleRNN,
    FoldedTier,
)
from samplernn_jax.models.samplernn.module import frame_values, tiers_with_rnn
from samplernn_jax.models.samplernn.rnn import RNN_TYPES, RNNType
from samplernn_jax.models.types import Carry, Choose

States = tuple[Array, ...]
"""The states of an RNN's layers, each [state, batch]."""

TierStates = tuple[States, ...]
"""The states of each tier, from the bottom up."""


def to_memory(config: ModelConfig, carry: Carry) -> TierStates:
    """Returns the states of a carry in columns."""
    return tuple(tuple(columns(carry[tier])) for tier in tiers_with_rnn(config))


def to_carry(config: ModelConfig, memory: TierStates) -> Carry:
    """Reverses `to_memory`."""
    return {
        tier: jnp.moveaxis(jnp.stack(states), -1, 0)
        for tier, states in zip(tiers_with_rnn(config), memory, strict=True)
    }


def decode_top_frame(
    model: FoldedSampleRNN,
    window: Int[Array, "size batch"],
    memory: TierStates,
    inputs: Any,
    choose: Choose,
) -> tuple[TierStates, Int[Array, "size batch"], Any]:
    """Generates the samples of one frame of the top tier; see `_frame`."""
    return _frame(model, len(model.tiers), window, memory, model.tiers[-1].bias, inputs, choose)


def decode_sample(
    model: FoldedSampleLevelRNN,
    window: Int[Array, "1 batch"],
    memory: TierStates,
    inputs: Any,
    choose: Choose,
) -> tuple[TierStates, Int[Array, "1 batch"], Any]:
    """Generates one sample of the 1-tier model; see `_frame`."""
    output, states = stacked_rnn(model.rnn, memory[0], look_up_sum(model.table, window))
    return (states,), *choose_sample(head(model.head, output), inputs, choose)


def _frame(
    model: FoldedSampleRNN,
    tier: int,
    window: Array,
    memory: TierStates,
    from_above: Array,
    inputs: Any,
    choose: Choose,
) -> tuple[TierStates, Array, Any]:
    """Generates the samples of one frame of the `tier`-th frame-level tier, counted from 1.

    Args:
        model: the whole model.
        tier: the number of the tier; 0 generates one sample.
        window: [size, batch], the latest tokens that the tier reads.
        memory: the RNN states of this tier and of those below.
        from_above: the vector from the tier above, [projections, batch]; for a sample [dim, batch].
        inputs: a pytree of [samples of the frame, batch].
        choose: picks the tokens.

    Returns:
        The memory after the frame, the tokens [samples, batch], and the values that `choose` kept
        [samples, batch, ...].
    """
    if tier == 0:
        logits = sample_level_mlp(model, window, from_above)
        return memory, *choose_sample(logits, inputs, choose)
    weights = model.tiers[tier - 1]
    projected = weights.frame @ frame_values(window, model.q_levels) + from_above
    output, states = stacked_rnn(weights.rnn, memory[-1], projected)
    below = model.tiers[tier - 2] if tier > 1 else None
    # Tier 1 reads as many tokens as the tier above, but is run for every sample.
    context, size_below = (below.frame.shape[1],) * 2 if below else (len(window), 1)
    batch, ratio = window.shape[1], len(window) // size_below
    handed_down = linear(weights.output, output).reshape(ratio, -1, batch)
    if below is not None:
        handed_down = project_from_above(below, handed_down)
    inputs = jax.tree.map(lambda x: x.reshape(ratio, size_below, batch), inputs)

    def frame_below(before: tuple[Array, TierStates], step: tuple[Array, Any]) -> Any:
        (window, memory), (from_above, inputs) = before, step
        memory, tokens, kept = _frame(model, tier - 1, window, memory, from_above, inputs, choose)
        window = jnp.concatenate([window, tokens])[-context:]
        return (window, memory), (tokens, kept)

    (_, memory), kept = jax.lax.scan(
        frame_below, (window[-context:], memory[:-1]), (handed_down, inputs)
    )
    tokens, kept = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), kept)
    return (*memory, states), tokens, kept


def look_up_sum(table: Float[Array, "rows dim"], rows: Int[Array, "window batch"]) -> Array:
    """Returns the sum [dim, batch] of the rows."""
    return jnp.sum(table[rows], axis=0).T


def gru(
    weights: FoldedGRU, state: Float[Array, "dim batch"], projected: Float[Array, "gates batch"]
) -> Float[Array, "dim batch"]:
    """Returns the next state, as `rnn.gru_step` does."""
    dim = len(state)
    gates = jax.nn.sigmoid(projected[: 2 * dim] + weights.gates @ state)
    update, reset = gates[:dim], gates[dim:]
    candidate = jnp.tanh(projected[2 * dim :] + weights.candidate @ (reset * state))
    return update * candidate + (1 - update) * state


def lstm(
    weights: FoldedLSTM, state: Float[Array, "state batch"], projected: Float[Array, "gates batch"]
) -> Float[Array, "state batch"]:
    """Returns the next hidden and cell state, as `rnn.lstm_step` does."""
    dim = len(state) // 2
    gates = projected + weights.gates @ state[:dim]
    i, f, o = jnp.split(jax.nn.sigmoid(gates[: 3 * dim]), 3)
    cell = f * state[dim:] + i * jnp.tanh(gates[3 * dim :])
    return jnp.concatenate([o * jnp.tanh(cell), cell])


_CELLS: dict[type, tuple[Callable[..., Array], RNNType]] = {
    FoldedGRU: (gru, RNN_TYPES["gru"]),
    FoldedLSTM: (lstm, RNN_TYPES["lstm"]),
}


def stacked_rnn(
    rnn: FoldedRNN, states: States, inputs: Float[Array, "projections batch"]
) -> tuple[Float[Array, "dim batch"], States]:
    """Returns the output and the next states.

    Args:
        rnn: the RNN.
        states: the state of each layer.
        inputs: the projections of the RNN's input for the layers that read it, side by side.
    """
    new_states: list[Array] = []
    outputs: list[Array] = []
    for number, (layer, state) in enumerate(zip(rnn.layers, states, strict=True)):
        step, kind = _CELLS[type(layer.recurrent)]
        dim = len(state) // kind.state_size
        size = kind.projection_size * dim
        projected = inputs[number * size : (number + 1) * size]  # empty where it reads no input
        if layer.below is not None:
            from_below = linear(layer.below, outputs[-1])
            projected = projected + from_below if rnn.skips is not None else from_below
        state = step(layer.recurrent, state, projected)
        new_states.append(state)
        outputs.append(state[:dim])
    if rnn.skips is None:
        return outputs[-1], tuple(new_states)
    return linear(rnn.skips, jnp.concatenate(outputs)), tuple(new_states)


def project_from_above(
    tier: FoldedTier, handed_down: Float[Array, "frames dim batch"]
) -> Float[Array, "frames projections batch"]:
    """Returns the projected vectors from the tier above for all of a tier's next frames."""
    frames, dim, batch = handed_down.shape
    side_by_side = handed_down.swapaxes(0, 1).reshape(dim, frames * batch)
    assert tier.from_above is not None, "the top tier has nothing above it"
    projected = (tier.from_above @ side_by_side).reshape(-1, frames, batch)
    return projected.swapaxes(0, 1) + tier.bias[None]


def sample_level_mlp(
    model: FoldedSampleRNN, window: Int[Array, "window batch"], from_above: Array
) -> Float[Array, "batch q_levels"]:
    """Returns logits of the sample after a window, with the vector from above, [dim, batch]."""
    rows = window + model.q_levels * jnp.arange(len(window))[:, None]
    return head(model.head, jax.nn.relu(from_above + look_up_sum(model.tables, rows)))
