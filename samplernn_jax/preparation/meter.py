"""The facts about a recording, gathered block by block."""

import hashlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64

from samplernn_jax.audio import Balance, Frames, Waveform, power_spectrogram

_WINDOW_S = 0.02
_QUANTILE = 0.99
_OUTLYING = 2.0
_LONGEST_OUTLIER = 5  # windows
_SOUNDING = 1e-3

ABSURD_PEAK = 8.0
"""18 dB over full scale; higher samples are unscaled integers or damage, not sound."""

_FFT_LEN = 1024
_FFT_EVERY = 8  # every eighth frame is enough to find the bandwidth
_NOTHING_DB = -90.0  # below the loudest frequency
_BAND_EDGES = np.unique(np.geomspace(1, _FFT_LEN // 2 + 1, 14).round().astype(int))
_LOWEST_DB = -60.0

_CLIPPED = 0.98
_CLIPPED_RUN = 5

PerWindow = Float64[np.ndarray, " windows"]


def inliers(peaks: PerWindow) -> Bool[np.ndarray, " windows"]:
    """Returns which windows of 20 ms are not outliers.

    A window sounds if its peak is within 60 dB of the loudest one, or of full scale if that is
    less. It is loud if its peak is more than 6 dB above the 99 % quantile of the sounding windows.
    So at most one in a hundred of these is loud, and none in less than a second of sound. Music and
    speech have no loud windows: their largest sample is 2.4 to 5.7 dB above that quantile.

    Up to 100 ms of consecutive loud windows are outliers: a click, or the two frames of an MP3
    around damage, which last 72 ms at 16 kHz and less at higher rates. Longer ones are rare sounds,
    such as calls in a quiet forest, unless they are far above full scale: a decoder made them.

    Args:
        peaks: the largest amplitude of each window.
    """
    sounding = peaks[peaks > _SOUNDING * min(float(peaks.max()), 1.0)]
    if len(sounding) == 0:
        return np.ones(len(peaks), bool)
    usual = peaks <= _OUTLYING * np.quantile(sounding, _QUANTILE)
    edges = np.flatnonzero(np.diff(usual, prepend=True, append=True))
    for start, stop in edges.reshape(-1, 2):
        if stop - start > _LONGEST_OUTLIER and peaks[start:stop].max() <= ABSURD_PEAK:
            usual[start:stop] = True
    return usual


class Meter:
    """A meter that gathers the facts about a recording.

    Attributes:
        num_samples: the number of samples so far.
        balance: the balance of the channels and their mix.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.num_samples = 0
        self.balance = Balance()
        self._sample_rate_hz = sample_rate_hz
        self._window = max(1, round(_WINDOW_S * sample_rate_hz))
        self._rest = np.zeros(0, np.float32)
        self._windows: list[Float64[np.ndarray, "5 _"]] = []
        self._power = np.zeros(_FFT_LEN // 2 + 1)
        self._num_values, self._num_clipped = 0, 0
        self._digest = hashlib.blake2b(digest_size=16)

    def watch(self, blocks: Iterator[Frames]) -> Iterator[Frames]:
        """Passes on the blocks of the decoder, and counts clipped values.

        A value is clipped if it is near full scale and equal to the five before: in 16 bits, not
        even the crest of a low wave stays on one value for that long.
        """
        for frames in self.balance.watch(blocks):
            still = (frames[1:] == frames[:-1]) & (np.abs(frames[1:]) >= _CLIPPED)
            if len(still) >= _CLIPPED_RUN and still.any():
                runs = np.lib.stride_tricks.sliding_window_view(still, _CLIPPED_RUN, axis=0)
                self._num_clipped += int(np.count_nonzero(runs.all(axis=-1)))
            self._num_values += frames.size
            yield frames

    def add(self, block: Waveform) -> None:
        """Counts the next samples in."""
        if len(block) == 0:
            return
        self.num_samples += len(block)
        self._power += _power_spectrum(block)
        self._digest.update(block.tobytes())
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // self._window * self._window
        self._windows.append(_measured(samples[:whole].reshape(-1, self._window)))
        self._rest = samples[whole:]

    def facts(self) -> dict[str, int | float | str | list[float]]:
        """Returns the facts about a recording that is not empty; see `staging.Staged`."""
        last = [_measured(self._rest[None])] if len(self._rest) else []
        sizes, lows, highs, sums, squares = np.concatenate([*self._windows, *last], axis=1)
        centre = float(np.median(sums / sizes))
        peaks = np.maximum(highs - centre, centre - lows)
        usual = inliers(peaks)
        mean = float(sums[usual].sum() / sizes[usual].sum())
        power = float(squares[usual].sum() / sizes[usual].sum()) - mean**2
        return {
            "num_samples": self.num_samples,
            "mean": mean,
            "rms": max(power, 0.0) ** 0.5,
            "low": float(lows[usual].min()),
            "high": float(highs[usual].max()),
            "minimum": float(lows.min()),
            "maximum": float(highs.max()),
            "peak_s": int(peaks.argmax()) * self._window / self._sample_rate_hz,
            "bandwidth_hz": self._bandwidth_hz(),
            "spectrum": _bands(self._power),
            "clipped": self._num_clipped / max(1, self._num_values),
            "digest": self._digest.hexdigest(),
        }

    def _bandwidth_hz(self) -> float:
        power = self._power[1:]  # without the mean
        heard = np.flatnonzero(power > power.max() * 10 ** (_NOTHING_DB / 10))
        highest = int(heard[-1]) + 1 if len(heard) else 0
        return highest * self._sample_rate_hz / _FFT_LEN


def _measured(windows: np.ndarray) -> Float64[np.ndarray, "5 _"]:
    """Returns size, lowest and highest sample, sum and sum of squares of each window."""
    exact = windows.astype(np.float64)
    return np.stack(
        [
            np.full(len(exact), float(exact.shape[1])),
            exact.min(axis=1),
            exact.max(axis=1),
            exact.sum(axis=1),
            np.square(exact).sum(axis=1),
        ]
    )


def _power_spectrum(block: Waveform) -> Float64[np.ndarray, " bins"]:
    """Returns the summed power of some frames of a block; of the whole block if it is short."""
    size = min(_FFT_LEN, len(block))
    return power_spectrogram(block, size, _FFT_EVERY * size, _FFT_LEN).sum(axis=0)


def _bands(power: Float64[np.ndarray, " bins"]) -> list[float]:
    """Returns the share of each frequency band in dB; the bands are equally wide in octaves."""
    bands = np.add.reduceat(power, _BAND_EDGES[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = 10 * np.log10(bands / bands.sum())
    return np.nan_to_num(shares, nan=_LOWEST_DB).clip(_LOWEST_DB, 0).round(2).tolist()
