"""The likelihood of audio: bits of each sample, their means over time, and rankings by them."""

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.losses import token_bits
from samplernn_jax.models import teacher_forcing
from samplernn_jax.models.types import Params, Predictions

_SEGMENT_SAMPLES = 4096

_ROWS_AT_ONCE = 8
"""The samples scored at once on each device; more sequences take more time, not more memory."""


def teacher_forced_bits(
    config: ArchitectureConfig,
    params: Params,
    mesh: Mesh,
    tokens: Int[np.ndarray, "num_sequences time"],
) -> Float32[np.ndarray, "num_sequences time"]:
    """Returns the bits of each token of clips, which begin with a silent overlap and fresh states.

    Args:
        config: the model's configuration.
        params: the model's parameters, as in training, on every device of the mesh.
        mesh: the devices over which the sequences are spread.
        tokens: the clips.
    """
    num_sequences = len(tokens)
    num_groups = -(-num_sequences // (_ROWS_AT_ONCE * mesh.size))
    num_rows = -(-num_sequences // (num_groups * mesh.size)) * mesh.size
    # All groups have the same size, so that one program is enough; the last is filled up.
    numbers = np.minimum(np.arange(num_groups * num_rows), num_sequences - 1)
    groups = np.split(numbers, num_groups)
    bits = [_bits_of_group(config, params, mesh, tokens[group]) for group in groups]
    return np.concatenate(bits)[:num_sequences]


def _bits_of_group(
    config: ArchitectureConfig, params: Params, mesh: Mesh, tokens: Int[np.ndarray, "rows time"]
) -> Float32[np.ndarray, "rows time"]:
    """Returns the same for one group of clips, which the devices score at once."""
    time, top, overlap = tokens.shape[1], config.top_frame_size, config.overlap
    frames_at_once = min(-(-_SEGMENT_SAMPLES // top), -(-time // top))
    filled_up = (overlap, -time % (frames_at_once * top))
    tokens = np.pad(tokens, ((0, 0), filled_up), constant_values=config.q_zero)
    carry = teacher_forcing.spread_carry(config, params, mesh, len(tokens))
    segments = teacher_forcing.segments_of(config, mesh, tokens, None, frames_at_once)
    step = teacher_forcing.forcing_step(config, mesh, _bits_of_targets)
    results = teacher_forcing.run(step, params, carry, segments)
    return np.concatenate([np.asarray(rows.kept) for _, rows in results], axis=1)[:, :time]


def _bits_of_targets(
    predictions: Predictions, inputs: teacher_forcing.Inputs
) -> Float[Array, "batch time"]:
    targets = inputs.tokens[:, -predictions.logits.shape[1] :]
    return token_bits(predictions.logits, targets)


def means_over_time(
    bits: Float32[np.ndarray, "num_sequences time"], length: int
) -> Float32[np.ndarray, "num_sequences blocks"]:
    """Returns the bits per sample of each block of `length` samples; the last may be shorter."""
    starts = np.arange(0, bits.shape[1], length)
    lengths = np.diff(starts, append=bits.shape[1])
    return np.add.reduceat(bits, starts, axis=1) / lengths[None].astype(np.float32)


def likeliest_first(bits_per_sample: Float[np.ndarray, " num_sequences"]) -> list[int]:
    """Returns the numbers of the sequences, from the fewest bits per sample to the most."""
    return [int(number) for number in np.argsort(bits_per_sample, kind="stable")]


def without_tails(order: list[int], low: float, high: float) -> list[int]:
    """Returns the order without the least and the most likely sequences.

    Goel et al. (SaShiMi, 2022) drop 0.4 and 0.05: the least likely are noise, the likeliest
    are silent or repeat themselves.

    Args:
        order: the numbers of the sequences, from the likeliest to the least likely.
        low: the fraction of the least likely sequences to drop.
        high: the fraction of the likeliest sequences to drop.

    Raises:
        ValueError: the fractions are not in [0, 1), or leave nothing.
    """
    for name, fraction in (("low", low), ("high", high)):
        require(0 <= fraction < 1, f"reject: {name}={fraction:g} must be at least 0 and below 1")
    kept = order[round(high * len(order)) : len(order) - round(low * len(order))]
    require(len(kept) > 0, f"reject={low:g},{high:g}: leaves none of {len(order)} sequences")
    return kept
