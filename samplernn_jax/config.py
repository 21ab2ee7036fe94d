"""Typed configuration: every value is checked here, once, where it enters.

A recipe in `configs/` returns an `ml_collections.ConfigDict`; `ExperimentConfig.from_config_dict`
turns it into the frozen dataclasses below. Their `__post_init__` holds every rule about values,
so nothing further down has to check again.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import ml_collections

RNN_TYPES = ("gru", "lstm")
Q_TYPES = ("linear", "mu-law")
MAX_SEED = 2**31
MAPS = ("shard_map", "pmap")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_positive(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(0 < value < math.inf, f"{name}={value}: must be greater than 0, and finite")


def _require_not_negative(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(0 <= value < math.inf, f"{name}={value}: must not be negative, and finite")


def _require_one_of(config: Any, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(config, name)
    _require(value in allowed, f"{name}={value!r}: must be one of {', '.join(allowed)}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The shape of a SampleRNN (paper section 2; options as in the original's command line).

    Attributes:
        frame_sizes: frame size of tiers 2, 3, ... K, from the bottom up, in samples. Each is a
            multiple of the one below.
        dim: width of every tier.
        n_rnn: stacked RNN layers in each frame-level tier.
        rnn_type: "gru" or "lstm".
        skip_conn: Graves-style skip connections between stacked layers (needs n_rnn > 1).
        learn_h0: train the initial RNN states; False keeps them at zero.
        weight_norm: weight normalization of every linear map.
        emb_size: size of the embedding of a token; 0 means one-hot.
        q_levels: number of quantization levels.
        q_type: "linear" or "mu-law".
    """

    frame_sizes: tuple[int, ...] = (2, 8)
    dim: int = 1024
    n_rnn: int = 1
    rnn_type: str = "gru"
    skip_conn: bool = False
    learn_h0: bool = True
    weight_norm: bool = True
    emb_size: int = 256
    q_levels: int = 256
    q_type: str = "linear"

    def __post_init__(self) -> None:
        sizes = self.frame_sizes
        _require(len(sizes) > 0, f"frame_sizes={sizes}: needs at least one frame size")
        _require(min(sizes) > 0, f"frame_sizes={sizes}: each must be greater than 0")
        for below, above in itertools.pairwise(sizes):
            _require(
                above > below and above % below == 0,
                f"frame_sizes={sizes}: each must be a multiple of the one below",
            )
        _require_positive(self, "dim", "n_rnn")
        _require_not_negative(self, "emb_size")
        _require_one_of(self, "rnn_type", RNN_TYPES)
        _require_one_of(self, "q_type", Q_TYPES)
        _require(self.q_levels >= 2, f"q_levels={self.q_levels}: must be at least 2")
        _require(
            self.q_type != "mu-law" or self.q_levels == 256,
            f"q_levels={self.q_levels}: must be 256 with q_type='mu-law'",
        )
        _require(
            not self.skip_conn or self.n_rnn > 1,
            f"skip_conn=True: needs n_rnn of at least 2, got n_rnn={self.n_rnn}",
        )

    @property
    def overlap(self) -> int:
        """Samples of context in front of a segment: the top tier's frame size."""
        return self.frame_sizes[-1]

    @property
    def q_zero(self) -> int:
        """The token of silence."""
        return self.q_levels // 2


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What to train on, and how it is cut into segments.

    Attributes:
        path: a dataset folder made by `experiments.prepare`; "" for the synthetic corpus.
        synthetic_minutes: length of the corpus of plucked strings that the workdir gets when
            path is "". A recipe for real recordings sets it to 0, which makes path required.
        batch_size: rows of a batch over all devices; each walks its own clip.
        seq_len: targets of a segment, the length of truncated backpropagation, in samples.
    """

    path: str = ""
    synthetic_minutes: float = 5.0
    batch_size: int = 128
    seq_len: int = 512

    def __post_init__(self) -> None:
        _require_positive(self, "batch_size", "seq_len")
        minutes = self.synthetic_minutes
        _require(
            minutes == 0 or 1 <= minutes <= 600,
            f"synthetic_minutes={minutes}: must be 0, or from 1 to 600",
        )
        _require(
            self.path != "" or minutes > 0,
            "path='': must name a dataset folder made by experiments.prepare",
        )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam on element-wise clipped gradients of the bits per sample.

    As in the original but for Adam's epsilon, which lasagne adds before bias correction and optax
    after it.

    Attributes:
        learning_rate: Adam's step size.
        clip_value: every element of the gradient is clipped to [-clip_value, clip_value].
    """

    learning_rate: float = 1e-3
    clip_value: float = 1.0

    def __post_init__(self) -> None:
        _require_positive(self, "learning_rate", "clip_value")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long to train, and how often to look.

    Attributes:
        num_steps: steps in all; one step is one segment of every row.
        log_every: steps between entries of the metrics log.
        valid_every: steps between validations; each one also saves a checkpoint.
        valid_segments: validate on the first so many segments of each row only, which are the
            beginnings of the longest clips; 0 means the whole split.
        keep_latest: how many of the latest checkpoints are kept.
        keep_best: how many of the best checkpoints by validation bits are kept.
    """

    num_steps: int = 100_000
    log_every: int = 50
    valid_every: int = 1000
    valid_segments: int = 0
    keep_latest: int = 2
    keep_best: int = 1

    def __post_init__(self) -> None:
        _require_positive(self, "num_steps", "log_every", "valid_every", "keep_latest", "keep_best")
        _require_not_negative(self, "valid_segments")


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """What is generated while training.

    Attributes:
        every: steps between generated audio files, a multiple of valid_every; 0 means only at
            the end.
        num_sequences: how many sequences.
        duration_s: length of each, in seconds.
        temperature: divides the logits; 0 always takes the likeliest token.
    """

    every: int = 0
    num_sequences: int = 4
    duration_s: float = 4.0
    temperature: float = 0.95

    def __post_init__(self) -> None:
        _require_not_negative(self, "every", "temperature")
        _require_positive(self, "num_sequences", "duration_s")


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How the per-device step is mapped over the devices.

    Attributes:
        map: "shard_map" or "pmap"; both compute the same.
    """

    map: str = "shard_map"

    def __post_init__(self) -> None:
        _require_one_of(self, "map", MAPS)


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """One training run. `seed` fixes the initial parameters, the data order and the samples."""

    seed: int = 0
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    sample: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)

    def __post_init__(self) -> None:
        _require(0 <= self.seed < MAX_SEED, f"seed={self.seed}: must be in [0, {MAX_SEED})")
        top = self.model.overlap
        _require(
            self.data.seq_len % top == 0,
            f"seq_len={self.data.seq_len}: must be a multiple of the top frame size {top}",
        )
        _require(
            self.sample.every % self.train.valid_every == 0,
            f"sample.every={self.sample.every}: must be a multiple of "
            f"train.valid_every={self.train.valid_every}",
        )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "ExperimentConfig":
        """Makes the configuration from nested mappings, a ConfigDict or parsed JSON.

        Raises:
            ValueError: a field is unknown or breaks its rule; the message names it.
        """
        return _build(cls, values, "config")

    def to_dict(self) -> dict[str, Any]:
        """The nested dict that `from_mapping` takes, ready for JSON."""
        return dataclasses.asdict(self)


def default_config() -> ml_collections.ConfigDict:
    """The editable form of `ExperimentConfig()`: where every recipe in `configs/` starts."""
    return ml_collections.ConfigDict(ExperimentConfig().to_dict())


def _build(cls: type, values: Mapping[str, Any], where: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    kwargs = {}
    for name, value in values.items():
        _require(name in fields, f"{where}.{name}: no such field; there are {', '.join(fields)}")
        field = fields[name]
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            _require(isinstance(value, Mapping), f"{where}.{name}={value!r}: must be a group")
            value = _build(field.type, value, f"{where}.{name}")
        else:
            value = _coerce(field.type, value, f"{where}.{name}")
        kwargs[name] = value
    return cls(**kwargs)


def _coerce(expected: Any, value: Any, where: str) -> Any:
    """The value as the field's type; an int may stand for a float, a list for a tuple."""
    if expected == tuple[int, ...] and isinstance(value, list | tuple):
        _require(all(_is_int(v) for v in value), f"{where}={value!r}: must be whole numbers")
        return tuple(value)
    if expected is int:
        _require(_is_int(value), f"{where}={value!r}: must be a whole number")
    elif expected is float:
        _require(_is_int(value) or isinstance(value, float), f"{where}={value!r}: must be a number")
        value = float(value)
    else:
        name = "a list of whole numbers" if expected == tuple[int, ...] else expected.__name__
        kind = tuple if expected == tuple[int, ...] else expected
        _require(isinstance(value, kind), f"{where}={value!r}: must be {name}")
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
