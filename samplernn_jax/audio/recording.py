"""Recordings while they are read: blocks, mixed down to one channel and resampled."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float32, Float64

from samplernn_jax.checks import require

Waveform = Float32[np.ndarray, " _"]
"""[num_samples]; the axis has no name, as the pieces of a recording differ in length."""

Frames = Float32[np.ndarray, "_ _"]
"""[num_frames, channels], without names for the same reason."""

SAMPLE_RATES_HZ = 1000, 2**20
"""The lowest and the highest sample rate of a recording."""

# The mix of two equally loud channels with correlation -0.75 has a quarter of the power of the mix
# of unrelated ones, and with correlation -0.9 a tenth. Stereo of two microphones does not come near
# that. If one channel was inverted, only the difference of the channels is left in the mix.
SUSPICIOUS_DB = 6.0
_CANCELLED_DB = 10.0


class DamagedError(ValueError):
    """Raised where a recording ends early; everything before the damage was read."""


class OpenRecording(NamedTuple):
    """An open recording.

    Attributes:
        sample_rate_hz: the sample rate of the recording.
        num_channels: the number of channels of the recording.
        blocks: the consecutive blocks; taking the next one may raise ValueError.
        num_frames: the number of frames that the file claims to hold; 0 if it makes no claim.
        first_frame: the position of the first block in the recording.
        notes: remarks for the user, a sentence each; complete after the last block.
    """

    sample_rate_hz: int
    num_channels: int
    blocks: Iterator[Frames]
    num_frames: int = 0
    first_frame: int = 0
    notes: Sequence[str] = ()


Opener = Callable[[], AbstractContextManager[OpenRecording]]
"""Opens a recording."""


class MonoRecording(NamedTuple):
    """A recording that was read whole, mixed down and resampled.

    Attributes:
        waveform: float32 [num_samples].
        source_rate_hz: the sample rate of the recording.
        notes: remarks for the user, a sentence each.
    """

    waveform: Waveform
    source_rate_hz: int
    notes: Sequence[str]


class Balance:
    """A comparison of a recording's mix with its channels, block by block."""

    def __init__(self) -> None:
        self._num_frames = 0
        self._sums: Float64[np.ndarray, " _"] = np.zeros(0)
        self._squares: Float64[np.ndarray, " _"] = np.zeros(0)

    def watch(self, blocks: Iterator[Frames]) -> Iterator[Frames]:
        """Yields the blocks of the decoder, and includes them in the comparison."""
        for frames in blocks:
            if frames.shape[1] > 1:
                self._add(frames.astype(np.float64))
            yield frames

    def _add(self, frames: Float64[np.ndarray, "_ _"]) -> None:
        with np.errstate(invalid="ignore", over="ignore"):  # `resampled` refuses such values
            mixed = np.column_stack([frames, frames.mean(axis=1)])
            if len(self._sums) == 0:
                self._sums = self._squares = np.zeros(mixed.shape[1])
            self._num_frames += len(mixed)
            self._sums = self._sums + mixed.sum(axis=0)
            self._squares = self._squares + np.square(mixed).sum(axis=0)

    def _powers(self) -> Float64[np.ndarray, " _"]:
        """The variance of each channel, and of the mix as the last one."""
        mean = self._sums / self._num_frames
        return np.maximum(self._squares / self._num_frames - mean**2, 0.0)

    @property
    def loudest(self) -> int:
        """The number of the channel with the most power; the first is 1."""
        return int(self._powers()[:-1].argmax()) + 1

    @property
    def lost_db(self) -> float:
        """The level in dB that the mix loses, against unrelated channels of the same power.

        It is negative if the channels have much in common, as usual; 0 for a single channel.
        """
        if self._num_frames == 0:
            return 0.0
        *channels, mix = self._powers().tolist()
        unrelated = sum(channels) / len(channels) ** 2
        if unrelated == 0:
            return 0.0
        return float(10 * np.log10(unrelated / max(mix, 1e-12 * unrelated)))

    @property
    def cancels(self) -> bool:
        """Whether almost nothing of the recording is left in the mix."""
        return self.lost_db >= _CANCELLED_DB

    @property
    def is_suspicious(self) -> bool:
        """Whether the channels cancel each other in part."""
        return SUSPICIOUS_DB <= self.lost_db < _CANCELLED_DB


def resampled(
    recording: OpenRecording, sample_rate_hz: int, channel: int = 0
) -> Iterator[Waveform]:
    """Yields one channel of a recording at another sample rate, block by block, by soxr.

    Args:
        recording: the recording.
        sample_rate_hz: the sample rate of the result.
        channel: 1 for the first, 2 for the second, ...; 0 for the mean of all.

    Raises:
        ValueError: there is no such channel, a value is not finite, or the recording is damaged.
    """
    require(
        channel <= recording.num_channels,
        f"has {recording.num_channels} channels, so there is no channel={channel}",
    )
    resampler = soxr.ResampleStream(recording.sample_rate_hz, sample_rate_hz, 1, dtype="float32")
    position, damage = recording.first_frame, None
    try:
        for frames in recording.blocks:
            mono = frames[:, channel - 1] if channel else frames.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                at_s = (position + int(np.isfinite(mono).argmin())) / recording.sample_rate_hz
                raise ValueError(f"holds a value that is not a finite number, at {at_s:.3f} s")
            position += len(mono)
            yield resampler.resample_chunk(np.ascontiguousarray(mono))
    except DamagedError as error:  # the resampler still holds some samples before the damage
        damage = error
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if damage is not None:
        raise damage
