"""A dataset on disk: clips of 16-bit samples in three splits, and a description.

dataset.json        sample rate, gain, seed, how it was split, what went in, what was rejected
train.pcm16         the clips of the split one after the other, int16, little endian
train.lengths.npy   int64 [num_clips], the samples of each clip
valid.*, test.*     likewise
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16, Int64

SPLITS = ("train", "valid", "test")
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Split:
    """The clips of a split.

    Attributes:
        name: "train", "valid" or "test".
        samples: all clips one after the other, memory-mapped.
        lengths: samples of each clip.
    """

    name: str
    samples: Int16[np.ndarray, " num_samples"]
    lengths: Int64[np.ndarray, " num_clips"]

    @property
    def num_clips(self) -> int:
        """How many clips there are."""
        return len(self.lengths)

    @property
    def num_samples(self) -> int:
        """Samples of all clips together."""
        return len(self.samples)

    @functools.cached_property
    def starts(self) -> Int64[np.ndarray, " num_clips"]:
        """Where each clip begins in `samples`."""
        return np.cumsum(self.lengths) - self.lengths

    def read(self, clip: int, start: int, stop: int) -> Int16[np.ndarray, " time"]:
        """Samples [start, stop) of a clip; both must lie inside it."""
        first = self.starts[clip]
        return self.samples[first + start : first + stop]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset folder made by `experiments.prepare`, opened."""

    sample_rate_hz: int
    splits: dict[str, Split]
    digest: str  # of the description; tells one dataset from another

    @classmethod
    def open(cls, path: Path) -> "Dataset":
        """Maps the files of a dataset without reading the audio.

        Raises:
            ValueError: the folder is no dataset, or a file of it is missing or truncated.
        """
        info = _read_info(path)
        splits = {name: _open_split(path, name, info["splits"][name]) for name in SPLITS}
        digest = hashlib.sha256(info_file(path).read_bytes()).hexdigest()
        return cls(info["sample_rate_hz"], splits, digest)


def samples_file(path: Path, split: str) -> Path:
    """Where the samples of a split are."""
    return path / f"{split}.pcm16"


def lengths_file(path: Path, split: str) -> Path:
    """Where the clip lengths of a split are."""
    return path / f"{split}.lengths.npy"


def info_file(path: Path) -> Path:
    """Where the description of a dataset is."""
    return path / "dataset.json"


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(info_file(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"data.path={path}: no dataset there (no dataset.json); experiments.prepare makes one"
        ) from error
    except ValueError as error:
        raise ValueError(f"{info_file(path)}: is damaged ({error}); prepare it again") from error
    if not isinstance(info, dict) or info.get("version") != FORMAT_VERSION:
        raise ValueError(
            f"{info_file(path)}: must have version {FORMAT_VERSION}; prepare the dataset again"
        )
    if not {"sample_rate_hz", "splits"} <= info.keys() or not set(SPLITS) <= set(info["splits"]):
        raise ValueError(f"{info_file(path)}: is damaged, fields are missing; prepare it again")
    return info


def _open_split(path: Path, name: str, expected: dict[str, Any]) -> Split:
    try:
        samples = np.memmap(samples_file(path, name), dtype="<i2", mode="r")
        lengths = np.load(lengths_file(path, name), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"data.path={path}: split {name} cannot be read ({error})") from error
    for file, found, recorded in (
        (samples_file(path, name), len(samples), expected["num_samples"]),
        (lengths_file(path, name), len(lengths), expected["num_clips"]),
        (lengths_file(path, name), int(lengths.sum()), expected["num_samples"]),
    ):
        if found != recorded:
            raise ValueError(
                f"{file}: is truncated or damaged, it counts {found} where dataset.json says "
                f"{recorded}; prepare the dataset again"
            )
    return Split(name, samples, lengths)
