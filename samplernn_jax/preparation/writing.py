"""Writing a dataset's clips as 16-bit samples, in shards."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16

from samplernn_jax.audio import Waveform, to_pcm16
from samplernn_jax.data.dataset import lengths_file, shard_file
from samplernn_jax.preparation.clips import Clip
from samplernn_jax.preparation.leveling import Leveled
from samplernn_jax.preparation.staging import OnProgress
from samplernn_jax.storage import checksum

_FULL_SCALE = 2**15
_OVER = 1 + 2**-16
"""The amplitude above which clipping changes a sample by more than half a step."""

_SHARD_SAMPLES = 2**29  # 1 GiB
NUM_BANDS = 16


class Levels:
    """Statistics of the written samples.

    Attributes:
        bands: the number of samples with amplitude 0, and with amplitudes in each 6 dB up to full
            scale; the lowest sample, -1, counts in the last band.
    """

    def __init__(self) -> None:
        self.bands = np.zeros(NUM_BANDS, np.int64)
        self._power = 0.0
        self._peak = 0
        self._num_over = 0

    def add(self, waveform: Waveform, pcm: Int16[np.ndarray, " _"]) -> None:
        """Counts a clip in, before and after rounding."""
        size = np.abs(pcm.astype(np.int32))
        bands = np.minimum(np.frexp(size)[1], NUM_BANDS - 1)
        self.bands += np.bincount(bands, minlength=NUM_BANDS)
        self._power += float(np.square(size, dtype=np.float64).sum())
        self._peak = max(self._peak, int(size.max()))
        self._num_over += int(np.count_nonzero(np.abs(waveform) > _OVER))

    def facts(self) -> dict[str, Any]:
        """Returns amplitudes relative to full scale; "over" is the share of clipped samples."""
        num_samples = int(self.bands.sum())
        return {
            "peak": self._peak / _FULL_SCALE,
            "rms": math.sqrt(self._power / num_samples) / _FULL_SCALE,
            "over": self._num_over / num_samples,
            "bands": self.bands.tolist(),
        }


def write_splits(
    folder: Path,
    clips: Mapping[str, Sequence[Clip]],
    recordings: Sequence[Leveled],
    on_progress: OnProgress,
) -> tuple[dict[str, Any], Levels]:
    """Writes the shards and lengths of every split.

    Args:
        folder: the folder of the dataset.
        clips: the clips of each split.
        recordings: the recordings that the clips were cut from.
        on_progress: called after each split.

    Returns:
        The parts of dataset.json that describe the splits, and the levels of all samples.
    """

    def read(clip: Clip) -> Waveform:
        return recordings[clip.recording].read(clip.start, clip.stop)

    levels, infos = Levels(), {}
    for number, (name, of_split) in enumerate(clips.items(), start=1):
        infos[name] = write_split(folder, name, of_split, read, levels)
        on_progress("writing", number, len(clips))
    return infos, levels


def write_split(
    folder: Path,
    name: str,
    clips: Sequence[Clip],
    read: Callable[[Clip], Waveform],
    levels: Levels,
    shard_samples: int = _SHARD_SAMPLES,
) -> dict[str, Any]:
    """Writes the shards and lengths of a split.

    Args:
        folder: the folder of the dataset.
        name: the name of the split.
        clips: the clips in the order in which they are written.
        read: returns the samples of a clip; amplitudes outside [-1, 1] are clipped.
        levels: counts the samples in.
        shard_samples: the size at which a shard ends, with the clip that reaches it.

    Returns:
        The part of dataset.json that describes the split.
    """
    lengths = np.array([clip.stop - clip.start for clip in clips], np.int64)
    np.save(lengths_file(folder, name), lengths)
    shard_of_clip = (np.cumsum(lengths) - lengths) // shard_samples
    _, firsts = np.unique(shard_of_clip, return_index=True)  # a long clip may skip a number
    shards = []
    for number, clip_numbers in enumerate(np.split(np.arange(len(clips)), firsts[1:])):
        file = shard_file(folder, name, number)
        with file.open("wb") as output:
            for clip in clip_numbers.tolist():
                waveform = read(clips[clip])
                pcm = to_pcm16(waveform)
                levels.add(waveform, pcm)
                output.write(pcm.tobytes())
        num_samples = int(lengths[clip_numbers].sum())
        shards.append({"file": file.name, "num_samples": num_samples, "sha256": checksum(file)})
    return {
        "num_clips": len(clips),
        "num_samples": int(lengths.sum()),
        "num_recordings": len({clip.recording for clip in clips}),
        "lengths_sha256": checksum(lengths_file(folder, name)),
        "shards": shards,
    }
