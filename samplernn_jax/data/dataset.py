"""A dataset on disk: clips of 16-bit samples in three splits, and a description.

dataset.json        sample rate, gain, seed, how it was split, what went in, what was rejected
train.pcm16         the clips of the split one after the other, int16, little endian
train.lengths.npy   int64 [num_clips], the samples of each clip
valid.*, test.*     likewise
"""

import abc
import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16, Int32, Int64

from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.quantization import pcm16_table

SPLITS = ("train", "valid", "test")
FORMAT_VERSION = 1


class Split(abc.ABC):
    """The clips of a split.

    Attributes:
        name: "train", "valid" or "test".
        lengths: samples of each clip.
    """

    name: str
    lengths: Int64[np.ndarray, " num_clips"]

    @property
    def num_clips(self) -> int:
        """How many clips there are."""
        return len(self.lengths)

    @property
    def num_samples(self) -> int:
        """Samples of all clips together."""
        return int(self.lengths.sum())

    @abc.abstractmethod
    def tokens(
        self, clip: int, start: int, stop: int, model: ArchitectureConfig
    ) -> Int32[np.ndarray, " time"]:
        """Samples [start, stop) of a clip as a model's tokens; both must lie inside it."""

    @abc.abstractmethod
    def training_order(self, seed: int) -> Iterator[int]:
        """The clips in the order in which training takes them, without end."""

    @abc.abstractmethod
    def evaluation_order(self) -> Iterator[int]:
        """The clips in the order in which evaluation takes them, each once."""


@dataclasses.dataclass(frozen=True)
class PcmSplit(Split):
    """The clips of a split of 16-bit samples.

    Attributes:
        name: "train", "valid" or "test".
        lengths: samples of each clip.
        samples: all clips one after the other, memory-mapped.
    """

    name: str
    lengths: Int64[np.ndarray, " num_clips"]
    samples: Int16[np.ndarray, " num_samples"]

    @functools.cached_property
    def starts(self) -> Int64[np.ndarray, " num_clips"]:
        """Where each clip begins in `samples`."""
        return np.cumsum(self.lengths) - self.lengths

    def read(self, clip: int, start: int, stop: int) -> Int16[np.ndarray, " time"]:
        """Samples [start, stop) of a clip; both must lie inside it."""
        first = self.starts[clip]
        return self.samples[first + start : first + stop]

    def tokens(
        self, clip: int, start: int, stop: int, model: ArchitectureConfig
    ) -> Int32[np.ndarray, " time"]:
        """See `Split`; samples are looked up by their bits."""
        table = pcm16_table(model.q_levels, model.q_type)
        return table[self.read(clip, start, stop).view(np.uint16)]

    def training_order(self, seed: int) -> Iterator[int]:
        """Every clip once per epoch, each epoch in another random order."""
        for epoch in itertools.count():
            yield from np.random.default_rng([seed, epoch]).permutation(self.num_clips).tolist()

    def evaluation_order(self) -> Iterator[int]:
        """Long clips first, so that the rows end nearly together."""
        yield from np.argsort(-self.lengths, kind="stable").tolist()


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset, opened."""

    sample_rate_hz: int
    splits: Mapping[str, Split]
    digest: str  # of the description; tells one dataset from another

    @classmethod
    def open(cls, path: Path) -> "Dataset":
        """Maps the files of a folder made by `experiments.prepare` without reading the audio.

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


def _open_split(path: Path, name: str, expected: dict[str, Any]) -> PcmSplit:
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
    return PcmSplit(name, lengths, samples)
