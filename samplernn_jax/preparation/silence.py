"""The parts of a recording that are not silent."""

from collections.abc import Callable, Iterator

import numpy as np

from samplernn_jax.audio import Waveform

_WINDOW_S = 0.02
_WINDOWS_AT_ONCE = 2**14


def sounding(
    read: Callable[[int, int], Waveform],
    num_samples: int,
    sample_rate_hz: int,
    threshold: float,
    max_silence_s: float,
) -> list[tuple[int, int]]:
    """Returns the parts to keep, without silence at the ends and long silence inside.

    Args:
        read: returns samples [start, stop) of the recording.
        num_samples: the number of samples of the recording.
        sample_rate_hz: the sample rate of the recording.
        threshold: the root mean square below which a window of 20 ms is silent.
        max_silence_s: the longest silence that is kept inside the recording.

    Returns:
        The (start, stop) of each part in samples. A window of silence stays on either side, so that
        no attack is cut off.
    """
    window = max(1, round(_WINDOW_S * sample_rate_hz))
    loud = np.flatnonzero(np.concatenate([*_levels(read, num_samples, window)]) >= threshold)
    if len(loud) == 0:
        return []
    max_gap = max(2, round(max_silence_s / _WINDOW_S))
    breaks = np.flatnonzero(np.diff(loud) > max_gap + 1)
    first = loud[np.concatenate([[0], breaks + 1])]
    last = loud[np.concatenate([breaks, [len(loud) - 1]])]
    starts = np.maximum(first - 1, 0) * window
    stops = np.minimum((last + 2) * window, num_samples)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _levels(
    read: Callable[[int, int], Waveform], num_samples: int, window: int
) -> Iterator[np.ndarray]:
    """Returns the root mean square of consecutive windows; the last one may be short."""
    step = window * _WINDOWS_AT_ONCE
    for start in range(0, num_samples, step):
        power = np.square(read(start, min(start + step, num_samples)), dtype=np.float64)
        at = np.arange(0, len(power), window)
        sizes = np.minimum(window, len(power) - at)
        yield np.sqrt(np.add.reduceat(power, at) / sizes)
