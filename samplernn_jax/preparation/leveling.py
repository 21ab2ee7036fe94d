"""How loud recordings become: one gain for all of them, or one for each."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from samplernn_jax.audio import Waveform
from samplernn_jax.preparation import loudness
from samplernn_jax.preparation.meter import ABSURD_PEAK
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.staging import Staged

_BLOCK = 2**20

# Recordings are too loud for the others if they are a quarter of the audio at most, and 6 dB lie
# between them and the next. What is 40 dB below the loudest is no quiet recording but none at all.
_LOUD_SHARE = 0.25
_LOUDER = 2.0
_SILENT = 0.01


@dataclasses.dataclass(frozen=True)
class Leveled:
    """A staged recording with its mean taken away and its gain applied."""

    staged: Staged
    offset: float
    gain: float

    def read(self, start: int, stop: int) -> Waveform:
        """Samples [start, stop)."""
        waveform = self.staged.read(start, stop)
        return (waveform - np.float32(self.offset)) * np.float32(self.gain)

    @property
    def peak(self) -> float:
        """The largest amplitude but of outliers."""
        return self.gain * _distance(self.offset, self.staged.low, self.staged.high)

    @property
    def outlying_peak(self) -> float:
        """The largest amplitude."""
        return self.gain * _distance(self.offset, self.staged.minimum, self.staged.maximum)

    @property
    def rms(self) -> float:
        """Root mean square of the samples but outliers."""
        return self.gain * self.staged.rms


def _distance(offset: float, low: float, high: float) -> float:
    return max(abs(low - offset), abs(high - offset))


def leveled(
    staged: Sequence[Staged], rejected: list[tuple[str, str]], settings: BuildSettings
) -> tuple[list[Leveled], float | None]:
    """Gives each recording its gain.

    Args:
        staged: the recordings.
        rejected: takes (name, reason) of what is left out.
        settings: of the dataset.

    Returns:
        The recordings, and the gain that they share; None where each has its own. Recordings that
        are too loud for the others (see `_level`) have a lower one.
    """
    plain = [Leveled(r, r.mean if settings.remove_dc else 0.0, 1.0) for r in staged]
    absurd = [recording for recording in plain if recording.peak > ABSURD_PEAK]
    rejected += [
        (recording.staged.name, f"has samples of {recording.peak:.3g}, full scale is 1")
        for recording in absurd
    ]
    usable = [recording for recording in plain if recording.peak <= ABSURD_PEAK]
    if settings.gain_per == "recording":
        gains = [_gain([recording], settings) for recording in usable]
        return _with_gains(usable, gains), None
    shared = _gain(usable, settings)
    if settings.gain == "none":
        return _with_gains(usable, [shared] * len(usable)), shared
    gains = [min(shared, 1.0 / r.peak) if r.peak else shared for r in usable]
    return _with_gains(usable, gains), shared


def _with_gains(recordings: Sequence[Leveled], gains: Sequence[float]) -> list[Leveled]:
    return [
        dataclasses.replace(recording, gain=gain)
        for recording, gain in zip(recordings, gains, strict=True)
    ]


def _level(group: Sequence[Leveled]) -> float:
    """The peak of the loudest recording that is not too loud for the others; 0 if there is none."""
    total = sum(recording.staged.num_samples for recording in group)
    order = sorted(group, key=lambda recording: -recording.peak)
    level, above = order[0].peak if order else 0.0, 0
    for louder, quieter in itertools.pairwise(order):
        above += louder.staged.num_samples
        if above > _LOUD_SHARE * total or quieter.peak < _SILENT * order[0].peak:
            break
        if louder.peak > _LOUDER * quieter.peak:
            level = quieter.peak
    return level


def _gain(group: Sequence[Leveled], settings: BuildSettings) -> float:
    """The factor for recordings that share one."""
    level = _level(group)
    if settings.gain == "none" or level < np.finfo(np.float32).tiny:
        return 1.0
    if settings.gain == "peak":
        return 1.0 / level
    lufs = loudness.integrated(
        [
            loudness.block_powers(_without_outliers(recording), settings.sample_rate_hz)
            for recording in group
            if recording.peak <= level
        ]
    )
    if lufs is None:  # too short or too quiet to have a loudness
        return 1.0 / level
    return min(float(10 ** ((settings.loudness_lufs - lufs) / 20)), 1.0 / level)


def _without_outliers(recording: Leveled) -> Iterable[Waveform]:
    low, high = (x - recording.offset for x in (recording.staged.low, recording.staged.high))
    num_samples = recording.staged.num_samples
    for start in range(0, num_samples, _BLOCK):
        yield recording.read(start, min(start + _BLOCK, num_samples)).clip(low, high)
