"""The folder of a training run, with all that is needed to use the run.

config.json          the whole configuration and the sample rate
checkpoints/STEP/    parameters, optimizer, carry, and the checksums of their files
validations.json     bits of every validation, by step, also of checkpoints that were removed
damaged_checkpoints/ those that were moved aside, if any
metrics.jsonl        one JSON object a line
learning_curve.png
samples/step_STEP/   generated wavs and their spectrograms
tensorboard/
plucked_*/           the synthetic corpus, where the run made its own
.lock, .lock.json    keep a second training out, see `storage.held`
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired

from pydantic import NonNegativeInt, PositiveInt
from typing_extensions import TypedDict

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig, ExperimentConfig
from samplernn_jax.parsing import typed
from samplernn_jax.storage import check_local, names, read_json, write_json

FORMAT_VERSION = 1

_SHAPE_NO_PARAMETERS = ("dtype", "matmul_precision", "learn_h0")
"""The fields of a model that may change when an imported model is trained further."""


class _ConfigFile(TypedDict):
    """The content of config.json."""

    version: Literal[1]
    sample_rate_hz: PositiveInt
    dataset_digest: str
    imported: NotRequired[bool]
    valid_segments: NotRequired[NonNegativeInt]
    config: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """The facts about a run in config.json.

    Attributes:
        config: the run's configuration.
        sample_rate_hz: the sample rate of the audio.
        dataset_digest: the digest of the dataset; "" for an imported model not yet trained here.
        imported: whether the model was imported, so that its shape does not come from a recipe.
        valid_segments: the number of first segments of each row on which a run validates that began
            before `train.valid_s` was added; 0 in every other run.
    """

    config: ExperimentConfig
    sample_rate_hz: int
    dataset_digest: str
    imported: bool = False
    valid_segments: int = 0


@dataclasses.dataclass(frozen=True)
class Workdir:
    """The names of everything in a training run's folder."""

    path: Path

    def __post_init__(self) -> None:
        """Raises ValueError if the path is an address, which would become a folder of that name."""
        check_local("workdir", self.path)

    @property
    def config_file(self) -> Path:
        """The file of the configuration."""
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, with a folder for each step."""
        return self.path.absolute() / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """Returns the folder of a step's checkpoint."""
        return self.checkpoints / str(step)

    @property
    def damaged_checkpoints(self) -> Path:
        """The folder of damaged checkpoints, which were moved aside."""
        return self.path.absolute() / "damaged_checkpoints"

    @property
    def validations_file(self) -> Path:
        """The file of validation results."""
        return self.path / "validations.json"

    @property
    def metrics_file(self) -> Path:
        """The file of the metrics log."""
        return self.path / "metrics.jsonl"

    @property
    def learning_curve(self) -> Path:
        """The picture of the learning curve."""
        return self.path / "learning_curve.png"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints, ascending."""
        return sorted(int(name) for name in names(self.checkpoints) if name.isdigit())

    @property
    def has_checkpoint(self) -> bool:
        """Whether a model was trained here, or imported."""
        return bool(self.steps)

    @property
    def was_trained(self) -> bool:
        """Whether there is a checkpoint from training, not just an imported model (step 0)."""
        return any(step > 0 for step in self.steps)

    @property
    def imported_model(self) -> ArchitectureConfig | None:
        """The configuration of the model that was imported into this folder, if one was."""
        if not self.has_checkpoint:
            return None
        info = self.read_info()
        return info.config.model if info.imported else None

    def imported_model_with(self, given: Mapping[str, Any]) -> ArchitectureConfig:
        """Returns the imported model's configuration, with the fields that the user has given.

        Raises:
            ValueError: the user has changed a field that shapes the parameters.
        """
        model = self.read_info().config.model
        fields = dataclasses.asdict(model)
        for name, value in given.items():
            require(
                name in fields,
                f"model.{name}={value!r}: the model that was imported into {self.path}, a "
                f"{model.architecture}, has no such field",
            )
            require(
                name in _SHAPE_NO_PARAMETERS or value == fields[name],
                f"model.{name}={value!r}: the model that was imported into {self.path} has "
                f"{name}={fields[name]!r}; only {', '.join(_SHAPE_NO_PARAMETERS)} may change",
            )
        return dataclasses.replace(model, **given)

    def samples(self, step: int) -> Path:
        """Returns the folder of audio generated after `step` steps."""
        return self.path / "samples" / f"step_{step:07d}"

    def data_path(self, config: ExperimentConfig) -> Path:
        """Returns the dataset's folder: the configured one, or the run's own synthetic corpus."""
        if config.data.path:
            return Path(config.data.path)
        return self.path / f"plucked_{config.data.synthetic_minutes:g}_minutes_seed_{config.seed}"

    def read_info(self) -> RunInfo:
        """Reads config.json.

        Raises:
            ValueError: there is no config.json, or it cannot be used.
        """
        try:
            content = read_json(self.config_file, _ConfigFile)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ValueError(
                f"workdir={self.path}: holds no training run (no config.json)"
            ) from error
        except OSError as error:
            raise ValueError(f"{self.config_file}: cannot be read ({error.strerror})") from error
        try:
            values, before = _without_valid_segments(content["config"])
            config = ExperimentConfig.from_mapping(values)
        except ValueError as error:
            raise ValueError(f"{self.config_file}: {error}") from error
        return RunInfo(
            config,
            content["sample_rate_hz"],
            content["dataset_digest"],
            content.get("imported", False),
            content.get("valid_segments", before),
        )

    def write_info(self, info: RunInfo) -> None:
        """Writes config.json."""
        content = {
            "version": FORMAT_VERSION,
            "sample_rate_hz": info.sample_rate_hz,
            "dataset_digest": info.dataset_digest,
            "imported": info.imported,
            "valid_segments": info.valid_segments,
            "config": info.config.to_dict(),
        }
        write_json(self.config_file, content)

    def check_same_config(self, config: ExperimentConfig) -> None:
        """Checks that a configuration can go on with the training in this folder, if there is any.

        The fields that shape the parameters, the carry and the data order must be the same, and so
        must the moving average and the audio that validation reads. The rest of the optimizer, how
        long to train, how often to validate, the precision of matrix products and the dataset's
        path may change. For an imported model that was not trained yet, only the shapes of its
        parameters count.

        Raises:
            ValueError: names the first field that differs.
        """
        if not self.has_checkpoint:
            return
        info = self.read_info()
        old = info.config
        same = [
            ("model.architecture", old.model.architecture, config.model.architecture),
            *_differences("model", old.model, config.model),
        ]
        if not self.was_trained:
            free = {f"model.{name}" for name in _SHAPE_NO_PARAMETERS}
            same = [entry for entry in same if entry[0] not in free]
        else:
            same += [
                *_differences("data", old.data, config.data),
                ("seed", old.seed, config.seed),
                ("optimizer.ema_decay", old.optimizer.ema_decay, config.optimizer.ema_decay),
            ]
            if not info.valid_segments:
                same.append(("train.valid_s", old.train.valid_s, config.train.valid_s))
        self._check_equal(same)

    def check_same_dataset(self, sample_rate_hz: int, digest: str) -> None:
        """Checks the same for the dataset; for an imported model only the sample rate counts.

        Raises:
            ValueError: names the first field that differs.
        """
        if not self.has_checkpoint:
            return
        old = self.read_info()
        same: list[tuple[str, Any, Any]] = [("sample_rate_hz", old.sample_rate_hz, sample_rate_hz)]
        if self.was_trained:
            same.append(("dataset_digest", old.dataset_digest, digest))
        self._check_equal(same)

    def _check_equal(self, same: list[tuple[str, Any, Any]]) -> None:
        for field, before, now in same:
            require(
                before == now or field in ("data.path", "model.matmul_precision"),
                f"{field}={now!r}: workdir {self.path} holds a run with {field}={before!r}; "
                "choose another workdir or the same value",
            )


def _differences(group: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    return [
        (f"{group}.{field.name}", getattr(old, field.name), getattr(new, field.name, None))
        for field in dataclasses.fields(old)
    ]


def _without_valid_segments(config: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Splits a configuration from `train.valid_segments`, which `train.valid_s` has replaced."""
    train = config.get("train")
    if not isinstance(train, dict) or "valid_segments" not in train:
        return config, 0
    before = train["valid_segments"]
    valid_segments: int = typed(NonNegativeInt, before, "config.train.valid_segments")
    rest = {name: value for name, value in train.items() if name != "valid_segments"}
    return {**config, "train": rest}, valid_segments
