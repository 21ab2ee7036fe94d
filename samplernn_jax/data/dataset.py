"""Datasets on disk: clips of 16-bit samples in three splits, and a description.

dataset.json            settings, recordings used and rejected, sizes and checksums
recordings.jsonl        facts about each recording that was used
train.lengths.npy       int64 [num_clips], the samples of each clip
train.00000.pcm16, ...  shards: whole clips one after the other, int16, little endian
valid.*, test.*         the same of the other splits
"""

import abc
import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Int16, Int32, Int64
from pydantic import Field, PositiveInt
from typing_extensions import TypedDict

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.parsing import typed
from samplernn_jax.quantization import pcm16_table
from samplernn_jax.storage import checksum, read_array, read_json

SPLITS = ("train", "valid", "test")
FORMAT_VERSION = 2

_HIGHEST_RATE_HZ = 192_000


class ShardInfo(TypedDict):
    """A shard in dataset.json."""

    file: str
    num_samples: PositiveInt
    sha256: str


class SplitInfo(TypedDict):
    """A split in dataset.json."""

    num_clips: PositiveInt
    num_samples: PositiveInt
    num_recordings: PositiveInt
    lengths_sha256: str
    shards: Annotated[list[ShardInfo], Field(min_length=1)]


class SplitInfos(TypedDict):
    """The splits in dataset.json."""

    train: SplitInfo
    valid: SplitInfo
    test: SplitInfo


class DatasetInfo(TypedDict):
    """The fields of dataset.json that opening a dataset needs."""

    version: int
    sample_rate_hz: Annotated[int, Field(ge=1, le=_HIGHEST_RATE_HZ)]
    splits: SplitInfos


class Split(abc.ABC):
    """The clips of a split.

    Attributes:
        name: "train", "valid" or "test".
        lengths: the number of samples in each clip.
    """

    name: str
    lengths: Int64[np.ndarray, " num_clips"]

    @property
    def num_clips(self) -> int:
        """The number of clips."""
        return len(self.lengths)

    @property
    def num_samples(self) -> int:
        """The number of samples in all clips."""
        return int(self.lengths.sum())

    @abc.abstractmethod
    def tokens(
        self, clip: int, start: int, stop: int, model: ArchitectureConfig
    ) -> Int32[np.ndarray, " time"]:
        """Returns samples [start, stop) of a clip as a model's tokens; they must lie inside it."""

    def training_order(self, seed: int) -> Iterator[int]:
        """Yields the clips in the order of training, without end.

        Each epoch takes every clip once, in another random order.
        """
        for epoch in itertools.count():
            yield from np.random.default_rng([seed, epoch]).permutation(self.num_clips).tolist()

    def evaluation_order(self) -> Iterator[int]:
        """Yields the clips in the order of evaluation, each once.

        Long clips come first, so that all rows end at nearly the same step.
        """
        yield from np.argsort(-self.lengths, kind="stable").tolist()


@dataclasses.dataclass(frozen=True)
class PcmSplit(Split):
    """The clips of a split of 16-bit samples.

    Attributes:
        name: "train", "valid" or "test".
        lengths: samples of each clip.
        shards: the clips one after the other, memory-mapped; no clip spans two shards.
    """

    name: str
    lengths: Int64[np.ndarray, " num_clips"]
    shards: Sequence[Int16[np.ndarray, " _"]]

    @functools.cached_property
    def _places(self) -> tuple[Int64[np.ndarray, " num_clips"], Int64[np.ndarray, " num_clips"]]:
        """The shard of each clip, and the position in the shard where the clip begins."""
        starts = np.cumsum(self.lengths) - self.lengths
        ends = np.cumsum([len(shard) for shard in self.shards])
        shard = np.searchsorted(ends, starts, side="right")
        return shard, starts - (ends - np.array([len(s) for s in self.shards]))[shard]

    def read(self, clip: int, start: int, stop: int) -> Int16[np.ndarray, " time"]:
        """Returns samples [start, stop) of a clip; they must lie inside it."""
        shard, first = (of_clip[clip] for of_clip in self._places)
        return self.shards[shard][first + start : first + stop]

    def tokens(
        self, clip: int, start: int, stop: int, model: ArchitectureConfig
    ) -> Int32[np.ndarray, " time"]:
        """See `Split`; samples are looked up by their bits."""
        table = pcm16_table(model.q_levels, model.q_type)
        return table[self.read(clip, start, stop).view(np.uint16)]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An open dataset."""

    sample_rate_hz: int
    splits: Mapping[str, Split]
    digest: str  # of the samples and their splits, which identifies the dataset

    @classmethod
    def open(cls, path: Path) -> "Dataset":
        """Maps the files of a folder made by `experiments.prepare` without reading the audio.

        Raises:
            ValueError: the folder is not a dataset, or one of its files is missing or truncated.
        """
        info = read_info(path)
        splits = {name: _open_split(path, name, info["splits"][name]) for name in SPLITS}
        content = json.dumps([info["sample_rate_hz"], info["splits"]], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        return cls(info["sample_rate_hz"], splits, digest)


def shard_file(path: Path, split: str, number: int) -> Path:
    """Returns the path of a shard."""
    return path / f"{split}.{number:05d}.pcm16"


def lengths_file(path: Path, split: str) -> Path:
    """Returns the path of the clip lengths of a split."""
    return path / f"{split}.lengths.npy"


def info_file(path: Path) -> Path:
    """Returns the path of dataset.json."""
    return path / "dataset.json"


def recordings_file(path: Path) -> Path:
    """Returns the path of recordings.jsonl."""
    return path / "recordings.jsonl"


def damaged_files(path: Path) -> list[str]:
    """Returns the names of the files whose content has changed; reads all files.

    Raises:
        ValueError: the folder is not a dataset.
    """
    recorded, splits = {}, read_info(path)["splits"]
    for name in SPLITS:
        recorded[lengths_file(path, name)] = splits[name]["lengths_sha256"]
        for shard in splits[name]["shards"]:
            recorded[_file_of_shard(path, shard)] = shard["sha256"]
    return [file.name for file, sha256 in recorded.items() if checksum(file) != sha256]


def read_info(path: Path, kind: Any = DatasetInfo) -> Any:
    """Returns the content of dataset.json.

    Args:
        path: folder of the dataset.
        kind: the required fields, a TypedDict; other fields are kept.

    Raises:
        ValueError: the folder is not a dataset or has another version, or a field breaks its rule.
    """
    file = info_file(path)
    try:
        info = read_json(file, dict[str, Any])
    except PermissionError as error:
        raise ValueError(f"data.path={path}: cannot be read ({error.strerror})") from error
    except OSError as error:
        raise ValueError(
            f"data.path={path}: no dataset there (no dataset.json); experiments.prepare makes one"
        ) from error
    except ValueError as error:
        raise ValueError(f"{error}; prepare the dataset again") from error
    require(
        info.get("version") == FORMAT_VERSION,
        f"{file}: must have version {FORMAT_VERSION}; prepare the dataset again",
    )
    return typed(kind, info, str(file), separator=": ")


def _open_split(path: Path, name: str, expected: SplitInfo) -> PcmSplit:
    try:
        shards = [
            # A plain array on the mapped file: memmap's own indexing takes microseconds.
            np.asarray(np.memmap(_file_of_shard(path, shard), dtype="<i2", mode="r"))
            for shard in expected["shards"]
        ]
        lengths = np.array(read_array(lengths_file(path, name)))
    except (OSError, ValueError) as error:
        raise ValueError(f"data.path={path}: split {name} cannot be read ({error})") from error
    _check_lengths(lengths_file(path, name), lengths)
    sizes = [
        (path / recorded["file"], len(shard), recorded["num_samples"])
        for shard, recorded in zip(shards, expected["shards"], strict=True)
    ]
    for file, found, recorded in (
        *sizes,
        (lengths_file(path, name), len(lengths), expected["num_clips"]),
        (lengths_file(path, name), sum(lengths.tolist()), expected["num_samples"]),
    ):
        require(
            found == recorded,
            f"{file}: is truncated or damaged; it holds {found} where dataset.json says "
            f"{recorded}. Prepare the dataset again",
        )
    require(
        bool(np.isin(np.cumsum([len(shard) for shard in shards]), np.cumsum(lengths)).all()),
        f"{lengths_file(path, name)}: does not belong to these shards, as a clip spans two of "
        "them; prepare the dataset again",
    )
    return PcmSplit(name, lengths, shards)


def _file_of_shard(path: Path, shard: ShardInfo) -> Path:
    """Returns the path of a shard, in the dataset's folder even if dataset.json names another."""
    return path / Path(shard["file"]).name


def _check_lengths(file: Path, lengths: np.ndarray) -> None:
    require(
        lengths.ndim == 1 and lengths.dtype == np.int64,
        f"{file}: holds {lengths.dtype} {list(lengths.shape)}, but must hold int64 [num_clips]",
    )
    shortest = int(lengths.min(initial=1))
    require(shortest > 0, f"{file}: holds a length of {shortest}, must be greater than 0")
