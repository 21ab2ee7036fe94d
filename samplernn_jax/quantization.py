"""Tokens <-> waveform.

There is one uniform mid-tread quantizer, behind a compander: the identity for "linear", and the
curves of ITU-T G.711 for "mu-law" and "a-law". Token `q_levels // 2` is exactly silence, the ends
of [-1, 1] are half a step from the outermost levels, and values outside are clipped to them.

Encoding looks a sample up among the decision boundaries and decoding looks a token up among the
levels. Both tables are float32 and computed once by numpy, so numpy and jax agree to the last bit.
"""

import functools
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Float32, Int

from samplernn_jax.audio.pcm import from_pcm16

Tensor = TypeVar("Tensor", jax.Array, np.ndarray)

MU = 255
A = 87.6


def _expand(companded: np.ndarray, q_type: str) -> np.ndarray:
    """Inverts the compander, float64 -> float64; it is odd and maps [-1, 1] onto itself."""
    if q_type == "linear":
        return companded
    size = np.abs(companded)
    if q_type == "mu-law":
        return np.sign(companded) * np.expm1(size * np.log1p(MU)) / MU
    scaled = size * (1 + np.log(A))
    return np.sign(companded) * np.where(scaled < 1, scaled, np.exp(scaled - 1)) / A


@functools.cache
def levels(q_levels: int, q_type: str) -> Float32[np.ndarray, " {q_levels}"]:
    """Returns the amplitude of each token, ascending."""
    steps = np.arange(q_levels) - q_levels // 2
    return _expand(steps / ((q_levels - 1) / 2), q_type).clip(-1, 1).astype(np.float32)


@functools.cache
def boundaries(q_levels: int, q_type: str) -> Float32[np.ndarray, " {q_levels}-1"]:
    """Returns the amplitudes between each token and the next, ascending.

    With more than 15 bits, the boundaries are as close to 16-bit samples as float32 resolves. They
    are rounded down, so that a float32 sample is above a boundary exactly where it is above the
    exact one, and every 16-bit sample has its own token. With fewer levels they are rounded to
    nearest, as always: the tokens of a dataset must not change.
    """
    steps = np.arange(1, q_levels) - q_levels // 2 - 0.5
    exact = _expand(steps / ((q_levels - 1) / 2), q_type)
    nearest = exact.astype(np.float32)
    if q_levels <= 2**15:
        return nearest
    return np.where(nearest > exact, np.nextafter(nearest, np.float32(-2)), nearest)


def encode(
    waveform: Float32[Tensor, "*shape"], q_levels: int, q_type: str
) -> Int[Tensor, "*shape"]:
    """Returns the token of each sample: the nearest level on the companded scale.

    Args:
        waveform: amplitudes, nominally in [-1, 1]; others get the outermost tokens.
        q_levels: the number of quantization levels.
        q_type: "linear", "mu-law" or "a-law".

    Returns:
        int32 tokens in [0, q_levels), numpy for numpy and jax for jax.
    """
    xp = waveform.__array_namespace__()
    table = xp.asarray(boundaries(q_levels, q_type))
    return xp.searchsorted(table, waveform, side="left").astype(xp.int32)


def decode(tokens: Int[Tensor, "*shape"], q_levels: int, q_type: str) -> Float32[Tensor, "*shape"]:
    """Returns the amplitude of each token, float32, numpy for numpy and jax for jax."""
    xp = tokens.__array_namespace__()
    return xp.take(xp.asarray(levels(q_levels, q_type)), tokens)


@functools.cache
def pcm16_table(q_levels: int, q_type: str) -> Int[np.ndarray, "65536"]:
    """Returns the token of every 16-bit sample, indexed by its bits read as an unsigned number."""
    pcm = np.arange(2**16, dtype=np.uint16).view(np.int16)
    return encode(from_pcm16(pcm), q_levels, q_type)
