"""Samples as whole numbers, in files, streams and datasets, with one scale and rounding rule.

An amplitude of 1 is 2 ** (bits - 1). Amplitudes are rounded to the nearest whole number, ties to
the even one, and clipped to the range of the type, whose largest number is just below 1. Decoders
divide by the same scale, so that samples survive any number of round trips.
"""

import numpy as np
from jaxtyping import Float32, Int16, Int32


def to_pcm16(waveform: Float32[np.ndarray, "*shape"]) -> Int16[np.ndarray, "*shape"]:
    """Returns amplitudes as 16-bit samples, little endian."""
    return _rounded(waveform, 16).astype("<i2")


def to_pcm24(waveform: Float32[np.ndarray, "*shape"]) -> Int32[np.ndarray, "*shape"]:
    """Returns amplitudes as 24-bit samples."""
    return _rounded(waveform, 24).astype(np.int32)


def from_pcm16(samples: Int16[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Returns the amplitudes of 16-bit samples, in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(2**15)


def _rounded(waveform: Float32[np.ndarray, "*shape"], bits: int) -> Float32[np.ndarray, "*shape"]:
    scale = np.float32(2 ** (bits - 1))  # a power of 2, so only `rint` rounds
    return np.minimum(np.rint(waveform.clip(-1, 1) * scale), scale - 1)
