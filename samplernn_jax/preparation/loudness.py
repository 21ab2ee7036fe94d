"""Integrated loudness in LUFS, ITU-R BS.1770-4 for one channel."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float64
from scipy.signal import sosfilt

from samplernn_jax.audio import Waveform

_HOP_S = 0.1  # blocks of 400 ms overlap by 75 %
_HOPS_PER_BLOCK = 4
_OFFSET = -0.691
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0


def block_powers(blocks: Iterable[Waveform], sample_rate_hz: int) -> Float64[np.ndarray, " blocks"]:
    """Returns the K-weighted mean square of blocks of 400 ms, one every 100 ms.

    Args:
        blocks: consecutive blocks of a recording.
        sample_rate_hz: the sample rate of the recording.

    Returns:
        The mean squares; empty for a recording of less than 400 ms.
    """
    sections = _k_weighting(sample_rate_hz)
    state = np.zeros((len(sections), 2))
    hop = round(_HOP_S * sample_rate_hz)
    rest, hops = np.zeros(0), []
    for block in blocks:
        weighted, state = sosfilt(sections, block, zi=state)
        rest = np.concatenate([rest, weighted])
        whole = len(rest) // hop * hop
        hops.append(np.square(rest[:whole]).reshape(-1, hop).mean(axis=1))
        rest = rest[whole:]
    powers = np.concatenate([np.zeros(0), *hops])
    if len(powers) < _HOPS_PER_BLOCK:
        return np.zeros(0)
    return np.lib.stride_tricks.sliding_window_view(powers, _HOPS_PER_BLOCK).mean(axis=-1)


def integrated(powers: Sequence[Float64[np.ndarray, " blocks"]]) -> float | None:
    """Returns the loudness in LUFS of one or several recordings together, with both gates.

    Args:
        powers: the `block_powers` of each recording.

    Returns:
        The loudness; None if everything is below the absolute gate.
    """
    power = np.concatenate([np.zeros(0), *powers])
    power = power[power > _power(_ABSOLUTE_GATE)]
    if len(power) == 0:
        return None
    power = power[power > power.mean() * 10 ** (_RELATIVE_GATE / 10)]
    return float(_OFFSET + 10 * np.log10(power.mean()))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET) / 10))


def _k_weighting(sample_rate_hz: int) -> Float64[np.ndarray, "2 6"]:
    """Returns the two filters, a high shelf and a high pass, as second-order sections.

    The recommendation has coefficients for 48 kHz only. These come from the analogue prototypes
    behind them (De Man, "Evaluation of implementations of the EBU R128 loudness measurement",
    AES 2018), by the bilinear transform, for any sample rate.
    """
    return np.stack([_shelf(sample_rate_hz), _high_pass(sample_rate_hz)])


def _shelf(sample_rate_hz: int) -> Float64[np.ndarray, "6"]:
    gain_db, q, frequency_hz = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k = np.tan(np.pi * frequency_hz / sample_rate_hz)
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    scale = 1 + k / q + k * k
    return np.array(
        [
            (high + band * k / q + k * k) / scale,
            2 * (k * k - high) / scale,
            (high - band * k / q + k * k) / scale,
            1.0,
            2 * (k * k - 1) / scale,
            (1 - k / q + k * k) / scale,
        ]
    )


def _high_pass(sample_rate_hz: int) -> Float64[np.ndarray, "6"]:
    q, frequency_hz = 0.5003270373238773, 38.13547087602444
    k = np.tan(np.pi * frequency_hz / sample_rate_hz)
    scale = 1 + k / q + k * k
    return np.array([1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale])
