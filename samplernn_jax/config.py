"""Typed configuration: every value is checked here, once, where it enters.

A recipe in `configs/` returns an `ml_collections.ConfigDict`; `ExperimentConfig.from_mapping`
turns it into the frozen dataclasses below. Their `__post_init__` holds every rule about values,
so nothing further down has to check again.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections

from samplernn_jax.checks import (
    require,
    require_not_negative,
    require_one_of,
    require_positive,
)
from samplernn_jax.models.interface import ArchitectureConfig
from samplernn_jax.models.samplernn.config import ModelConfig
from samplernn_jax.models.wavenet.config import WaveNetConfig
from samplernn_jax.parsing import build
from samplernn_jax.storage import check_local

__all__ = [
    "ArchitectureConfig",
    "DataConfig",
    "ExperimentConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ParallelConfig",
    "SampleConfig",
    "TrainConfig",
    "WaveNetConfig",
    "default_config",
]

NORMALIZATIONS = ("dataset", "legacy")
MAX_SEED = 2**31
MAPS = ("shard_map", "pmap")
SCHEDULES = ("constant", "cosine", "exponential")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The training data, and the segments into which it is cut.

    Attributes:
        path: a dataset folder made by `experiments.prepare`; "" for the synthetic corpus.
        normalization: "dataset" for the gain of such a folder; "legacy" to read a folder of the
            original's .npy files as the original does, clip by clip and mistake by mistake, see
            `data/legacy.py`.
        synthetic_minutes: the length of the corpus of plucked strings that is made in the workdir
            if path is "". A recipe for real recordings sets it to 0, which makes path required.
        batch_size: the number of rows in a batch over all devices; each reads its own clips.
        seq_len: the number of targets in a segment, the length of truncated backpropagation.
    """

    path: str = ""
    normalization: str = "dataset"
    synthetic_minutes: float = 5.0
    batch_size: int = 128
    seq_len: int = 512

    def __post_init__(self) -> None:
        require_positive(self, "batch_size", "seq_len")
        check_local("data.path", self.path)
        require_one_of(self, "normalization", NORMALIZATIONS)
        require(
            self.normalization != "legacy" or self.path != "",
            "data.path='': must name a folder of the original's .npy files with "
            "normalization='legacy'",
        )
        minutes = self.synthetic_minutes
        require(
            minutes == 0 or 1 <= minutes <= 600,
            f"synthetic_minutes={minutes}: must be 0, or from 1 to 600",
        )
        require(
            self.path != "" or minutes > 0,
            "data.path='': must name a dataset folder made by experiments.prepare",
        )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer: Adam on clipped gradients of the bits per sample, by default the original's.

    Attributes:
        learning_rate: Adam's highest step size.
        schedule: "constant"; "cosine", which falls to `decay_rate` times the learning rate in
            `decay_steps` and stays there; or "exponential", which falls by that factor every
            `decay_steps`.
        warmup_steps: steps in which the learning rate rises evenly to its highest, before the
            schedule begins.
        decay_steps: see `schedule`.
        decay_rate: see `schedule`.
        clip_value: the limit of every element of the gradient, in either direction; 0 for no limit.
        clip_norm: the norm to which the whole gradient is scaled down, after `clip_value`; 0 for no
            limit.
        ema_decay: the decay per step, such as 0.999, of a moving average of the parameters, which
            evaluation and sampling then use; 0 for no average.
        independent_preds_weight: the weight in the loss of the independent predictions' bits per
            sample; above 0 it needs model.independent_preds.
    """

    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup_steps: int = 0
    decay_steps: int = 0
    decay_rate: float = 0.1
    clip_value: float = 1.0
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    independent_preds_weight: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "learning_rate")
        require_one_of(self, "schedule", SCHEDULES)
        require_not_negative(
            self,
            *("warmup_steps", "decay_steps", "clip_value", "clip_norm"),
            "independent_preds_weight",
        )
        require(
            self.schedule == "constant" or self.decay_steps > 0,
            f"decay_steps={self.decay_steps}: must be greater than 0 with "
            f"schedule={self.schedule!r}",
        )
        for name in ("decay_rate", "ema_decay"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name}={value}: must be at least 0 and less than 1")
        require(
            self.schedule != "exponential" or self.decay_rate > 0,
            f"decay_rate={self.decay_rate}: must be greater than 0 with schedule='exponential'",
        )


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The length of training, and the steps at which it logs, validates and saves.

    Attributes:
        num_steps: the total number of steps; one step takes one segment of every row.
        num_epochs: the number of passes over the training split after which the run stops, if that
            is earlier. Padding between clips is not counted, so a pass takes slightly longer. 0 for
            no limit.
        max_hours: the hours after which the command stops, such as the limit of a job; the run is
            saved, and the same command goes on. 0 for no limit.
        patience: the number of validations in a row that were no better than the best after which
            the run stops; 0 for no limit.
        log_every: the steps between entries of the metrics log.
        valid_every: the steps between validations; each one also saves a checkpoint.
        valid_s: the seconds of held-out audio to validate on, in excerpts from all over the split,
            the same for every batch size; 0 means the whole split.
        keep_latest: the number of latest checkpoints to keep.
        keep_best: the number of best checkpoints, by validation bits, to keep.
        max_skipped: the number of skipped steps in a row after which the run stops. A step is
            skipped, and changes nothing, if its bits or gradients are not finite.
    """

    num_steps: int = 100_000
    num_epochs: float = 0.0
    max_hours: float = 0.0
    patience: int = 0
    log_every: int = 50
    valid_every: int = 1000
    valid_s: float = 0.0
    keep_latest: int = 2
    keep_best: int = 1
    max_skipped: int = 10

    def __post_init__(self) -> None:
        require_positive(
            self,
            *("num_steps", "log_every", "valid_every", "keep_latest", "keep_best", "max_skipped"),
        )
        require_not_negative(self, "valid_s", "num_epochs", "max_hours", "patience")


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """The audio that is generated during training.

    Attributes:
        every: the steps between generated audio files, a multiple of valid_every; 0 means only at
            the end.
        num_sequences: the number of sequences.
        duration_s: the length of each sequence, in seconds.
        temperature: the divisor of the logits; 0 always takes the likeliest token.
    """

    every: int = 0
    num_sequences: int = 4
    duration_s: float = 4.0
    temperature: float = 0.95

    def __post_init__(self) -> None:
        require_not_negative(self, "every", "temperature")
        require_positive(self, "num_sequences", "duration_s")


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """The mapping of the per-device step over devices, rows and time.

    Attributes:
        map: "shard_map" or "pmap"; both compute the same.
        microbatches: the number of parts into which the rows of a device are divided; they are
            computed one after the other, which takes less memory and gives the same gradients.
        steps_per_call: the number of steps that are dispatched to the devices at once; more than 1
            helps small models, whose steps are shorter than their dispatch.
    """

    map: str = "shard_map"
    microbatches: int = 1
    steps_per_call: int = 1

    def __post_init__(self) -> None:
        require_one_of(self, "map", MAPS)
        require_positive(self, "microbatches", "steps_per_call")


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """A training run; `seed` determines initial parameters, data order and samples."""

    seed: int = 0
    model: ArchitectureConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    sample: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)

    def __post_init__(self) -> None:
        require(0 <= self.seed < MAX_SEED, f"seed={self.seed}: must be in [0, {MAX_SEED})")
        top = self.model.top_frame_size
        require(
            self.data.seq_len % top == 0,
            f"seq_len={self.data.seq_len}: must be a multiple of the top frame size {top}",
        )
        require(
            self.sample.every % self.train.valid_every == 0,
            f"sample.every={self.sample.every}: must be a multiple of "
            f"train.valid_every={self.train.valid_every}",
        )
        for name in ("num_steps", "valid_every", "log_every"):
            value, at_once = getattr(self.train, name), self.parallel.steps_per_call
            require(
                value % at_once == 0,
                f"{name}={value}: must be a multiple of steps_per_call={at_once}",
            )
        weight = self.optimizer.independent_preds_weight
        require(
            weight == 0 or self.model.independent_preds,
            f"independent_preds_weight={weight}: needs model.independent_preds=True",
        )
        require(
            self.data.normalization != "legacy" or self.model.q_type != "a-law",
            "q_type='a-law': the original has no a-law, so normalization must not be 'legacy'",
        )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "ExperimentConfig":
        """Returns the configuration with these values: nested mappings, a ConfigDict or JSON.

        Raises:
            ValueError: a field is unknown or breaks its rule; the message names it.
        """
        return build(cls, values, "config")

    def to_dict(self) -> dict[str, Any]:
        """Returns the nested dict that `from_mapping` takes, ready for JSON."""
        values = dataclasses.asdict(self)
        return {**values, "model": {"architecture": self.model.architecture, **values["model"]}}


def default_config(model: ArchitectureConfig | None = None) -> ml_collections.ConfigDict:
    """Returns an editable `ExperimentConfig`, from which every recipe in `configs/` starts.

    Args:
        model: the model to train; None for the default SampleRNN.
    """
    return ml_collections.ConfigDict(ExperimentConfig(model=model or ModelConfig()).to_dict())
