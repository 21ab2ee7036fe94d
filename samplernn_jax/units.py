"""Durations, sizes and levels: their wording for people, and decibels."""

import numpy as np
from tqdm import tqdm

DB_PER_BIT = float(20 * np.log10(2))
"""The level in dB that a 16-bit sample gains or loses with one bit."""

_LONG_UNITS = (("years", 365.25 * 86400), ("days", 86400), ("hours", 3600), ("minutes", 60))
_LOWEST_AMPLITUDE = 1e-6


def describe_bytes(num_bytes: float | int) -> str:
    """Returns a size in bytes, KiB, MiB or GiB, such as "1.5 GiB"."""
    if num_bytes < 2**10:
        return f"{num_bytes:.0f} bytes"
    if num_bytes < 2**20:
        return f"{num_bytes / 2**10:.0f} KiB"
    return f"{num_bytes / 2**30:,.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def describe_duration(seconds: float | int) -> str:
    """Returns a duration in the largest unit of which it has two, as in "90 s" or "2.5 hours"."""
    for unit, length in _LONG_UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.3g} s"


def clock_time(seconds: float | int) -> str:
    """Returns a running time such as "05:10", "1:05:10" or, from three days on, "4 days"."""
    days = seconds / 86400
    return f"{days:,.0f} days" if days >= 3 else tqdm.format_interval(seconds)


def decibels(ratio: float | int) -> float:
    """Returns the level in dB of an amplitude relative to full scale or another; at least -120."""
    return float(20 * np.log10(max(ratio, _LOWEST_AMPLITUDE)))


def amplitude(level_db: float | int) -> float:
    """Returns the amplitude, or ratio of amplitudes, of a level in dB."""
    return float(10 ** (level_db / 20))
