"""The second half of a preparation: clips of 16-bit samples, in shards."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samplernn_jax.audio import Waveform, to_pcm16
from samplernn_jax.data.dataset import lengths_file, shard_file
from samplernn_jax.preparation.splits import Clip
from samplernn_jax.storage import checksum

_FULL_SCALE = 2**15
_OVER = 1 + 2**-16  # what is clipped by more than half a step
_SHARD_SAMPLES = 2**29  # 1 GiB
NUM_BANDS = 16


class Levels:
    """How loud the samples are that are written.

    Attributes:
        bands: how many samples have an amplitude of 0, and of each 6 dB up to full scale; the
            very least sample, -1, is in the last.
    """

    def __init__(self) -> None:
        self.bands = np.zeros(NUM_BANDS, np.int64)
        self._power = 0.0
        self._peak = 0
        self._num_over = 0

    def add(self, waveform: Waveform, pcm: np.ndarray) -> None:
        """Takes a clip into account, before and after it was rounded."""
        size = np.abs(pcm.astype(np.int32))
        bands = np.minimum(np.frexp(size)[1], NUM_BANDS - 1)
        self.bands += np.bincount(bands, minlength=NUM_BANDS)
        self._power += float(np.square(size, dtype=np.float64).sum())
        self._peak = max(self._peak, int(size.max()))
        self._num_over += int(np.count_nonzero(np.abs(waveform) > _OVER))

    def facts(self) -> dict[str, Any]:
        """In terms of full scale; "over" is the fraction that did not fit into 16 bits."""
        num_samples = int(self.bands.sum())
        return {
            "peak": self._peak / _FULL_SCALE,
            "rms": math.sqrt(self._power / num_samples) / _FULL_SCALE,
            "over": self._num_over / num_samples,
            "bands": self.bands.tolist(),
        }


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
        folder: of the dataset.
        name: of the split.
        clips: in the order in which they are written.
        read: gives the samples of a clip, in [-1, 1]; what is outside is clipped.
        levels: takes the samples into account.
        shard_samples: a shard ends with the clip that reaches this size.

    Returns:
        What dataset.json says of the split.
    """
    lengths = np.array([clip.stop - clip.start for clip in clips], np.int64)
    np.save(lengths_file(folder, name), lengths)
    shard_of_clip = (np.cumsum(lengths) - lengths) // shard_samples
    numbers, firsts = np.unique(shard_of_clip, return_index=True)
    del numbers  # a long clip may skip one
    shards = []
    for number, clip_numbers in enumerate(np.split(np.arange(len(clips)), firsts[1:])):
        file = shard_file(folder, name, number)
        with file.open("wb") as stream:
            for clip in clip_numbers.tolist():
                waveform = read(clips[clip])
                pcm = to_pcm16(waveform)
                levels.add(waveform, pcm)
                stream.write(pcm.tobytes())
        num_samples = int(lengths[clip_numbers].sum())
        shards.append({"file": file.name, "num_samples": num_samples, "sha256": checksum(file)})
    return {
        "num_clips": len(clips),
        "num_samples": int(lengths.sum()),
        "num_recordings": len({clip.recording for clip in clips}),
        "lengths_sha256": checksum(lengths_file(folder, name)),
        "shards": shards,
    }
