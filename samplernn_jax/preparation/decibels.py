"""Amplitudes in decibels."""

import numpy as np

DB_PER_BIT = float(20 * np.log10(2))
"""What one bit more or less of a sample makes."""

_LEAST = 1e-6


def db(ratio: float) -> float:
    """A ratio of two amplitudes, or an amplitude of which full scale is 1, in dB; -120 at least."""
    return float(20 * np.log10(max(ratio, _LEAST)))
