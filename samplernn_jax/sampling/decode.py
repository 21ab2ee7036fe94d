"""The decode loop: one nested scan, tier by tier, over the frames of a block.

A tier's frame is what the tiers below it generated in the last round, so the only memory of the
loop is one window of tokens and one RNN state per tier. WaveNet's is the last token and the caches
of its layers.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped

from samplernn_jax.config import ArchitectureConfig, ModelConfig
from samplernn_jax.model import (
    Carry,
    FrameLevelRNN,
    Params,
    SampleLevelMLP,
    SampleLevelRNN,
    SampleRNN,
    frame_values,
    initial_carry,
    tier_ratio,
)
from samplernn_jax.wavenet import WaveNet

Choose = Callable[[Array, Array], Array]
"""(logits [batch, q_levels], noise [batch]) -> tokens [batch]."""


class DecodeState(NamedTuple):
    """Everything that the next block depends on.

    Attributes:
        window: int32 [batch, top_frame_size], the latest tokens; the top tier's next frame.
        carry: RNN states before that frame; WaveNet's caches.
        keys: one PRNG key per sequence.
        position: top frames decoded so far; with a key it determines the noise.
    """

    window: Array
    carry: Carry
    keys: Array
    position: Array


def start(config: ArchitectureConfig, params: Params, tokens: Array, keys: Array) -> DecodeState:
    """The state after a clip that begins with the given tokens.

    Args:
        config: of the model.
        params: its parameters.
        tokens: int32 [batch, time], at least the `config.overlap` silent ones in front of a clip,
            and then a multiple of `top_frame_size`.
        keys: one PRNG key per sequence.
    """
    window = tokens[:, tokens.shape[1] - config.top_frame_size :]
    variables = {"params": params}
    if not isinstance(config, ModelConfig):
        context = tokens[:, tokens.shape[1] - config.overlap : -1]
        carry = WaveNet(config).apply(variables, context, method="caches")
    elif tokens.shape[1] == config.overlap:
        carry = initial_carry(config, params, len(tokens))
    else:
        carry = SampleRNN(config).apply(variables, tokens)[1]
    return DecodeState(window, carry, keys, jnp.int32(0))


def decode(
    config: ArchitectureConfig,
    params: Params,
    state: DecodeState,
    noise: Shaped[Array, "frames batch top_frame_size"],
    choose: Choose,
) -> tuple[DecodeState, Int[Array, "batch time"], Shaped[Array, "batch time q_levels"]]:
    """Generates as many top frames as there is noise for.

    Args:
        config: of the model, best a folded one, see `fold`.
        params: its parameters.
        state: after the last block.
        noise: one entry per sample; `choose` gets it. Forced tokens work as well as random
            numbers, which makes teacher forcing a special case.
        choose: picks the tokens.

    Returns:
        The state after the block, its tokens, and the logits they were chosen from.
    """

    def top_frame(
        memory: tuple[Array, Carry], inputs: tuple[Array, Array]
    ) -> tuple[tuple[Array, Carry], tuple[Array, Array]]:
        window, carry = memory
        position, noise = inputs
        if isinstance(config, ModelConfig) and config.frame_sizes:
            top = len(config.frame_sizes) + 1
            tokens, logits, carry = _decode_frame(
                config, params, top, window, carry, None, noise, choose
            )
        else:
            logits, carry = _next_sample(config, params, window[:, 0], carry, position)
            tokens, logits = choose(logits, noise[:, 0])[:, None], logits[:, None]
        return (tokens, carry), (tokens, logits)

    memory = (state.window, state.carry)
    positions = state.position + jnp.arange(len(noise))
    (window, carry), (tokens, logits) = jax.lax.scan(top_frame, memory, (positions, noise))
    state = state._replace(window=window, carry=carry, position=state.position + len(noise))
    return state, _join_frames(tokens), _join_frames(logits)


def _next_sample(
    config: ArchitectureConfig, params: Params, token: Array, carry: Carry, position: Array
) -> tuple[Array, Carry]:
    """Logits [batch, q_levels] from the latest token, in a model without frames."""
    if isinstance(config, ModelConfig):
        logits, state = SampleLevelRNN(config).apply(
            {"params": params["tier_1"]}, token[:, None], carry["tier_1"], None
        )
        return logits[:, 0], {"tier_1": state}
    return WaveNet(config).apply({"params": params}, token, carry, position, method="step")


def _decode_frame(
    config: ModelConfig,
    params: Params,
    tier: int,
    window: Array,
    carry: Carry,
    conditioning: Array | None,
    noise: Array,
    choose: Choose,
) -> tuple[Array, Array, Carry]:
    """Generates the samples of one frame of `tier` (of one sample, in tier 1).

    `window` holds as many of the latest tokens as the tier reads, `conditioning` [batch, dim] is
    from the tier above (None in the top tier), `noise` is [batch, samples of the frame].

    Returns:
        Tokens [batch, samples], logits [batch, samples, q_levels], and the carry.
    """
    name = f"tier_{tier}"
    variables = {"params": params[name]}
    conditioning = None if conditioning is None else conditioning[:, None]
    if tier == 1:
        logits = SampleLevelMLP(config).apply(variables, window, conditioning)
        return choose(logits[:, 0], noise[:, 0])[:, None], logits, carry
    ratio = tier_ratio(config, tier)
    frame = frame_values(window, config.q_levels)[:, None]
    outputs, state = FrameLevelRNN(config, ratio).apply(
        variables, frame, conditioning, carry[name], None
    )
    size_below = config.frame_sizes[max(tier - 3, 0)]

    def frame_below(
        memory: tuple[Array, Carry], inputs: tuple[Array, Array]
    ) -> tuple[tuple[Array, Carry], tuple[Array, Array]]:
        window, carry = memory
        tokens, logits, carry = _decode_frame(
            config, params, tier - 1, window, carry, *inputs, choose
        )
        window = jnp.concatenate([window, tokens], axis=1)[:, -size_below:]
        return (window, carry), (tokens, logits)

    noise = noise.reshape(noise.shape[0], ratio, -1)
    memory = (window[:, -size_below:], {**carry, name: state})
    (_, carry), (tokens, logits) = jax.lax.scan(
        frame_below, memory, (outputs.swapaxes(0, 1), noise.swapaxes(0, 1))
    )
    return _join_frames(tokens), _join_frames(logits), carry


def _join_frames(frames: Shaped[Array, "frames batch size *rest"]) -> Array:
    """Stacked by a scan -> [batch, frames * size, *rest]."""
    frames = frames.swapaxes(0, 1)
    return frames.reshape(frames.shape[0], -1, *frames.shape[3:])
