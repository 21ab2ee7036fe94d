"""Gains: one for all recordings, or one for each."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from samplernn_jax.audio import Waveform
from samplernn_jax.preparation import loudness
from samplernn_jax.preparation.meter import ABSURD_PEAK
from samplernn_jax.preparation.recordings import Rejected
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.staging import Staged
from samplernn_jax.units import amplitude

_BLOCK = 2**20

# Recordings are too loud for the others if they are at most a quarter of the audio, and 6 dB above
# the next one. A recording 40 dB below the loudest is not quiet but empty.
_LOUD_SHARE = 0.25
_LOUDER = 2.0
_SILENT = 0.01


@dataclasses.dataclass(frozen=True)
class Leveled:
    """A staged recording with an offset to subtract and, after that, a gain to apply."""

    staged: Staged
    offset: float
    gain: float

    def read(self, start: int, stop: int) -> Waveform:
        """Returns samples [start, stop)."""
        waveform = self.staged.read(start, stop)
        return (waveform - np.float32(self.offset)) * np.float32(self.gain)

    @property
    def peak(self) -> float:
        """The largest amplitude without outliers."""
        return self.gain * _distance(self.offset, self.staged.low, self.staged.high)

    @property
    def outlying_peak(self) -> float:
        """The largest amplitude of all."""
        return self.gain * _distance(self.offset, self.staged.minimum, self.staged.maximum)

    @property
    def rms(self) -> float:
        """Root mean square of the samples without outliers."""
        return self.gain * self.staged.rms


def _distance(offset: float, low: float, high: float) -> float:
    return max(abs(low - offset), abs(high - offset))


class LeveledRecordings(NamedTuple):
    """Recordings with their gains.

    Attributes:
        recordings: the recordings.
        gain: the gain that they share, except recordings too loud for the others, which have a
            lower one; None if each recording has its own.
        rejected: the recordings without a sensible level, and the reasons.
    """

    recordings: list[Leveled]
    gain: float | None
    rejected: list[Rejected]


def level_recordings(staged: Sequence[Staged], settings: BuildSettings) -> LeveledRecordings:
    """Gives each recording its gain.

    Args:
        staged: the recordings.
        settings: the settings of the dataset.
    """
    plain = [Leveled(r, r.mean if settings.remove_dc else 0.0, 1.0) for r in staged]
    usable = [recording for recording in plain if recording.peak <= ABSURD_PEAK]
    rejected = [
        Rejected(r.staged.name, f"has samples of {r.peak:.3g}, where full scale is 1")
        for r in plain
        if r.peak > ABSURD_PEAK
    ]
    if settings.gain_per == "recording":
        gains = [_gain([recording], settings) for recording in usable]
        return LeveledRecordings(_with_gains(usable, gains), None, rejected)
    shared = _gain(usable, settings)
    gains = [shared] * len(usable)
    if settings.gain != "none":
        gains = [min(shared, 1.0 / r.peak) if r.peak else shared for r in usable]
    return LeveledRecordings(_with_gains(usable, gains), shared, rejected)


def _with_gains(recordings: Sequence[Leveled], gains: Sequence[float]) -> list[Leveled]:
    return [
        dataclasses.replace(recording, gain=gain)
        for recording, gain in zip(recordings, gains, strict=True)
    ]


def _level(group: Sequence[Leveled]) -> float:
    """Returns the peak of the loudest recording that is not too loud for the others, or 0."""
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
    """Returns the gain that recordings share."""
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
    return min(amplitude(settings.loudness_lufs - lufs), 1.0 / level)


def _without_outliers(recording: Leveled) -> Iterable[Waveform]:
    low, high = (x - recording.offset for x in (recording.staged.low, recording.staged.high))
    num_samples = recording.staged.num_samples
    for start in range(0, num_samples, _BLOCK):
        yield recording.read(start, min(start + _BLOCK, num_samples)).clip(low, high)
