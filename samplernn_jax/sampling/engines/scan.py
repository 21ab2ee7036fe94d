"""The decode loop: one nested scan, tier by tier, over the frames of a block.

A tier's frame is what the tiers below it generated in the last round, so the only memory of the
loop is one window of tokens and one RNN state per tier. WaveNet's is the last token and the caches
of its layers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped, UInt32

from samplernn_jax.config import ArchitectureConfig, ModelConfig
from samplernn_jax.models import steps
from samplernn_jax.models.fold import Folded, FoldedSampleLevelRNN, FoldedSampleRNN, FoldedWaveNet
from samplernn_jax.models.samplernn.module import Carry, Params, frame_values, initial_carry
from samplernn_jax.models.wavenet.module import Caches, WaveNet

Choose = Callable[[Array, Any], tuple[Array, Any]]
"""(logits [batch, q_levels], inputs of the sample) -> (tokens [batch], anything to keep)."""

Memory = tuple[tuple[Array, ...], ...]
"""The RNN states of each tier, from the bottom up, or WaveNet's caches; the batch comes last."""


class DecodeState(NamedTuple):
    """Everything that the next block depends on; all arrays begin with the batch.

    Attributes:
        window: int32 [batch, top_frame_size], the latest tokens; the top tier's next frame.
        carry: RNN states before that frame, as the model returns them; WaveNet's caches.
        keys: one PRNG key per sequence.
        position: uint32 [batch, 2], top frames decoded so far, in two words, the high one first;
            with a key it determines the noise.
    """

    window: Array
    carry: Carry | Caches
    keys: Array
    position: Array


def start(
    config: ArchitectureConfig, params: Params, context: Int[Array, "batch overlap"], keys: Array
) -> DecodeState:
    """The state behind the overlap with which a clip begins.

    Args:
        config: of the model.
        params: its parameters, as in training.
        context: the overlap's tokens.
        keys: one PRNG key per sequence.
    """
    window = context[:, config.overlap - config.top_frame_size :]
    carry: Carry | Caches
    if isinstance(config, ModelConfig):
        carry = initial_carry(config, params, len(context))
    else:
        carry = WaveNet(config).apply({"params": params}, context[:, :-1], method="caches")
    return DecodeState(window, carry, keys, jnp.zeros((len(context), 2), jnp.uint32))


def decode(
    model: Folded, state: DecodeState, inputs: Any, choose: Choose, precision: str = "highest"
) -> tuple[DecodeState, Int[Array, "batch time"], Any]:
    """Generates as many samples as there are inputs, a multiple of the top frame size.

    Args:
        model: from `fold`.
        state: after the last block.
        inputs: a pytree of [batch, time] that `choose` gets sample by sample, such as random
            numbers. Forced tokens work as well, which makes teacher forcing a special case.
        choose: picks the tokens.
        precision: of all products, "highest" or "default"; see `ModelConfig.matmul_precision`.

    Returns:
        The state after the block, its tokens, and what `choose` kept, [batch, time, ...].
    """
    model = jax.tree.map(jnp.asarray, model)
    window = _columns(state.window)
    frames = jax.tree.map(lambda x: x.T.reshape(-1, *window.shape), inputs)
    num_frames = len(jax.tree.leaves(frames)[0])

    def top_frame(before: tuple[Array, Memory], step: tuple[Array, Any]) -> Any:
        (window, memory), (number, inputs) = before, step
        if isinstance(model, FoldedSampleRNN):
            above, tier = model.tiers[-1].bias, len(model.tiers)
            memory, tokens, kept = _frame(model, tier, window, memory, above, inputs, choose)
        else:
            memory, tokens, kept = _sample(model, window, memory, number, inputs, choose)
        return (tokens, memory), (tokens, kept)

    with jax.default_matmul_precision(precision):
        (window, memory), (tokens, kept) = jax.lax.scan(
            top_frame, (window, _to_memory(state.carry)), (jnp.arange(num_frames), frames)
        )
    tokens, kept = jax.tree.map(_join_frames, (tokens, kept))
    state = DecodeState(
        window.T,
        _to_carry(state.carry, memory, num_frames),
        state.keys,
        advance(state.position, jnp.uint32(num_frames)),
    )
    return state, tokens, kept


def advance(
    position: UInt32[Array, "... 2"], num_frames: UInt32[Array, "..."]
) -> UInt32[Array, "... 2"]:
    """The positions so many frames later; the shapes in front of the words are broadcast."""
    low = position[..., 1] + num_frames
    return jnp.stack([position[..., 0] + (low < num_frames), low], axis=-1)


def _frame(
    model: FoldedSampleRNN,
    tier: int,
    window: Array,
    memory: Memory,
    above: Array,
    inputs: Any,
    choose: Choose,
) -> tuple[Memory, Array, Any]:
    """Generates the samples of one frame of the `tier`-th frame-level tier, counted from 1.

    Args:
        model: all of it.
        tier: which one; 0 generates one sample.
        window: [size, batch], as many of the latest tokens as the tier reads.
        memory: RNN states of this tier and of those below.
        above: what it gets from the tier above, [projections, batch]; for a sample [dim, batch].
        inputs: pytree of [samples of the frame, batch].
        choose: picks the tokens.

    Returns:
        The memory after it, tokens [samples, batch], and what `choose` kept [samples, batch, ...].
    """
    if tier == 0:
        logits = steps.sample_level_mlp(model, window, above)
        tokens, kept = choose(logits, jax.tree.map(lambda x: x[0], inputs))
        return memory, tokens[None], jax.tree.map(lambda x: x[None], kept)
    weights = model.tiers[tier - 1]
    projected = weights.frame @ frame_values(window, model.q_levels) + above
    output, states = steps.stacked_rnn(weights.rnn, memory[-1], projected)
    below = model.tiers[tier - 2] if tier > 1 else None
    # Tier 1 reads as many tokens as the tier above, but is run for every sample.
    context, size_below = (below.frame.shape[1],) * 2 if below else (len(window), 1)
    batch, ratio = window.shape[1], len(window) // size_below
    conditioning = steps.linear(weights.output, output).reshape(ratio, -1, batch)
    if below is not None:
        conditioning = steps.conditioned_input(below, conditioning)
    inputs = jax.tree.map(lambda x: x.reshape(ratio, size_below, batch), inputs)

    def frame_below(before: tuple[Array, Memory], step: tuple[Array, Any]) -> Any:
        (window, memory), (above, inputs) = before, step
        memory, tokens, kept = _frame(model, tier - 1, window, memory, above, inputs, choose)
        window = jnp.concatenate([window, tokens])[-context:]
        return (window, memory), (tokens, kept)

    (_, memory), kept = jax.lax.scan(
        frame_below, (window[-context:], memory[:-1]), (conditioning, inputs)
    )
    tokens, kept = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), kept)
    return (*memory, states), tokens, kept


def _sample(
    model: FoldedSampleLevelRNN | FoldedWaveNet,
    window: Array,
    memory: Memory,
    number: Array,
    inputs: Any,
    choose: Choose,
) -> tuple[Memory, Array, Any]:
    """Generates one sample of a model without frames; see `_frame`."""
    if isinstance(model, FoldedWaveNet):
        logits, caches = steps.wavenet(model, window[0], memory[0], number)
        memory = (caches,)
    else:
        projected = steps.lookup(model.table, window)
        output, states = steps.stacked_rnn(model.rnn, memory[0], projected)
        logits, memory = steps.head(model.head, output), (states,)
    tokens, kept = choose(logits, jax.tree.map(lambda x: x[0], inputs))
    return memory, tokens[None], jax.tree.map(lambda x: x[None], kept)


def _join_frames(frames: Shaped[Array, "frames size batch *rest"]) -> Array:
    """Stacked by the scan -> [batch, frames * size, *rest]."""
    return jnp.moveaxis(frames.reshape(-1, *frames.shape[2:]), 1, 0)


def _columns(x: Array) -> Array:
    """[batch, ...] -> [..., batch], in memory.

    Else XLA, where it unrolls a loop of one step, transposes matrices instead; see `steps.head`.
    """
    return jax.lax.optimization_barrier(jnp.moveaxis(x, 0, -1))


def _to_memory(carry: Carry | Caches) -> Memory:
    if isinstance(carry, tuple):
        return (tuple(_columns(cache) for cache in carry),)
    return tuple(tuple(_columns(carry[tier])) for tier in sorted(carry, key=_tier_number))


def _to_carry(before: Carry | Caches, memory: Memory, num_steps: int) -> Carry | Caches:
    """The memory in the form of what it was made from."""
    if isinstance(before, tuple):
        # Turned so that the next block, which counts its steps from 0 again, fits on.
        caches = (jnp.roll(cache, -num_steps, axis=0) for cache in memory[0])
        return tuple(jnp.moveaxis(cache, -1, 0) for cache in caches)
    tiers = sorted(before, key=_tier_number)
    return {
        tier: jnp.moveaxis(jnp.stack(states), -1, 0)
        for tier, states in zip(tiers, memory, strict=True)
    }


def _tier_number(tier: str) -> int:
    return int(tier.removeprefix("tier_"))
