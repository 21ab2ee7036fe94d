"""The checkpoints of a run, which hold plain pytrees.

A checkpoint holds two pytrees: `params`, which evaluation and sampling read, and `rest`, which
training needs in addition to go on exactly. Step 0 is an imported model, which has no `rest`.
Beside them lies `checksums.json`, which reveals a truncated or changed file before it is read.

A checkpoint is saved before it is validated. The result of the validation goes into a separate
record, see `validations`, which determines the checkpoints that are kept.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax

from samplernn_jax import storage
from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig, TrainConfig
from samplernn_jax.models.interface import abstract_params
from samplernn_jax.processes import (
    from_first_process,
    is_first_process,
    processes_without,
    text_from_first_process,
)
from samplernn_jax.runs import validations
from samplernn_jax.runs.integrity import damaged_files, write_checksums
from samplernn_jax.runs.orbax_folder import OrbaxFolder, shapes_by_path, stored_shapes
from samplernn_jax.runs.validations import Validations
from samplernn_jax.runs.workdir import Workdir

IMPORTED_STEP = 0

_SPACE_FOR_DETAILS = 2**20
"""The bytes that a checkpoint may take on the disk beside its arrays."""


class Checkpoint(NamedTuple):
    """The state that is saved after a step.

    Attributes:
        params: the parameters that evaluation and sampling read, a pytree of arrays.
        rest: the rest of the training state, a pytree of arrays; None for an imported model.
    """

    params: Any
    rest: Any | None


class Checkpoints:
    """The checkpoints of a run: the latest, the best by validation bits, and an imported model."""

    def __init__(self, workdir: Workdir, config: TrainConfig) -> None:
        """Opens the folder, and makes it if needed."""
        self._workdir, self._config = workdir, config
        self._saved = OrbaxFolder(workdir.checkpoints)
        _check_same_everywhere(workdir.checkpoints, self._saved.steps)
        self._validations = _read_validations(workdir, self._saved)
        # An imported model is validated again until it was trained, as its dataset may change
        # until then.
        self._forget_after(self.latest_step or -1)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._saved.close()

    @property
    def latest_step(self) -> int | None:
        """The step to resume from; None in a new run."""
        return max(self._saved.steps, default=None)

    @property
    def best(self) -> tuple[float, int] | None:
        """The bits and step of the best validation, the earliest of equal ones; None at first."""
        return validations.best(self._validations)

    def best_until(self, step: int) -> tuple[float, int] | None:
        """Returns the best validation of the steps up to `step`."""
        return validations.best({s: b for s, b in self._validations.items() if s <= step})

    def is_validated(self, step: int) -> bool:
        """Returns whether the validation of a step is recorded."""
        return step in self._validations

    def check_step(self, step: int) -> None:
        """Raises ValueError if there is no checkpoint of this step."""
        _check_step(step, self._saved.steps, self._workdir)

    def go_back(self, step: int) -> None:
        """Removes all checkpoints after `step`, and their validations."""
        for later in [s for s in self._saved.steps if s > step]:
            self._saved.remove(later)
        self._forget_after(step)

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Saves a checkpoint, and removes none.

        Raises:
            ValueError: the checkpoint cannot be written; those before it are still there.
        """
        self._check_space(step, checkpoint)
        try:
            self._saved.save(step, checkpoint._asdict())
            if is_first_process():
                write_checksums(self._workdir.checkpoint(step))
        except (OSError, ValueError) as error:
            raise ValueError(self._not_written(step, str(error))) from error

    def restore(self, like: Checkpoint, step: int | None = None) -> Checkpoint:
        """Loads a checkpoint onto the devices where `like` is.

        Args:
            like: a checkpoint of the same shapes, types and devices.
            step: the step of the checkpoint; None for the latest.

        Returns:
            The checkpoint; an imported model has no `rest`.

        Raises:
            ValueError: the checkpoint cannot be read.
        """
        step = self._saved.steps[-1] if step is None else step
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like._asdict()
        )
        if step == IMPORTED_STEP:
            del shapes["rest"]
        return Checkpoint(**{"rest": None, **self._saved.restore(step, shapes)})

    def record(self, step: int, valid_bits: float) -> None:
        """Records the validation of a step."""
        self._set_validations({**self._validations, step: valid_bits})

    def prune(self) -> None:
        """Removes checkpoints that are neither among the latest, nor the best, nor imported."""
        steps = self._saved.steps
        best = validations.in_order(_on_disk(self._validations, self._saved))
        kept = {
            IMPORTED_STEP,
            *steps[-self._config.keep_latest :],
            *best[: self._config.keep_best],
        }
        for step in [s for s in steps if s not in kept]:
            self._saved.remove(step)

    def remove(self, step: int) -> None:
        """Removes one checkpoint."""
        self._saved.remove(step)

    def _forget_after(self, last: int) -> None:
        """Removes the validations of later steps, which the run repeats."""
        self._set_validations({s: b for s, b in self._validations.items() if s <= last})

    def _set_validations(self, new: Validations) -> None:
        if new != self._validations and is_first_process():
            validations.write(self._workdir, new)
        self._validations = new

    def _check_space(self, step: int, checkpoint: Checkpoint) -> None:
        """Raises ValueError if the disk is too full, before anything is written."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(checkpoint))
        free = from_first_process(float(storage.free_bytes(self._workdir.checkpoints)))
        require(
            free >= needed + _SPACE_FOR_DETAILS,
            self._not_written(
                step, f"{free / 2**20:.1f} MiB are free, {needed / 2**20:.1f} MiB needed"
            ),
        )

    def _not_written(self, step: int, reason: str) -> str:
        return (
            f"{self._workdir.checkpoint(step)}: cannot be written ({reason}); the checkpoints "
            "before it are intact, and the same command goes on from the latest"
        )


def save_imported(workdir: Workdir, params: Any) -> None:
    """Saves the parameters of an imported model, for evaluation, sampling and further training.

    Raises:
        ValueError: the parameters cannot be written.
    """
    folder = workdir.checkpoint(IMPORTED_STEP)
    try:
        with OrbaxFolder(workdir.checkpoints) as saved:
            saved.save(IMPORTED_STEP, {"params": params})
        write_checksums(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: cannot be written ({error})") from error


def restore_params(
    workdir: Workdir, config: ArchitectureConfig, step: int | None = None
) -> tuple[int, Any]:
    """Loads the parameters of the best checkpoint, or those of `step`.

    If none was validated yet, the latest counts as the best.

    Returns:
        The step and the parameters, on the first local device.

    Raises:
        ValueError: there is no such checkpoint, or it belongs to another model.
    """
    require(workdir.has_checkpoint, f"workdir={workdir.path}: holds no checkpoint yet")
    with OrbaxFolder(workdir.checkpoints, create=False) as saved:
        steps = saved.steps
        if step is None:
            best = validations.best(_on_disk(_read_validations(workdir, saved), saved))
            step = steps[-1] if best is None else best[1]
        _check_step(step, steps, workdir)
        folder = workdir.checkpoint(step)
        for damaged in damaged_files(folder):
            raise ValueError(
                f"{folder / damaged}: is damaged; choose the checkpoint of another step: "
                f"{', '.join(str(other) for other in steps if other != step)}"
            )
        _check_model(workdir, folder, config)
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
            abstract_params(config),
        )
        return step, saved.restore(step, {"params": shapes})["params"]


def _check_model(workdir: Workdir, folder: Path, config: ArchitectureConfig) -> None:
    """Raises ValueError if the parameters of a checkpoint do not fit the model.

    Orbax notices that too, but array by array, in threads that go on after the failure.
    """
    saved, expected = stored_shapes(folder / "params"), shapes_by_path(abstract_params(config))
    if saved is None:
        return
    for name in sorted(saved.keys() | expected.keys()):
        require(
            saved.get(name) == expected.get(name),
            f"{workdir.config_file}: describes another model than {folder}, whose {name} is "
            f"{saved.get(name, 'not there')}, not {expected.get(name, 'there')}",
        )


def _check_same_everywhere(folder: Path, steps: list[int]) -> None:
    """Raises ValueError if a process sees other checkpoints than the first process."""
    expected = json.loads(text_from_first_process(json.dumps(steps)))
    others = processes_without(steps == expected)
    require(
        not others,
        f"{folder}: process {', '.join(map(str, others))} sees other checkpoints there than "
        f"process 0, which sees those of steps {', '.join(map(str, expected)) or '(none)'}; "
        "run again when all processes see the same files",
    )


def _check_step(step: int, steps: list[int], workdir: Workdir) -> None:
    if step not in steps:
        there = f"checkpoints of steps {', '.join(map(str, steps))}" if steps else "none yet"
        raise ValueError(f"step={step}: workdir {workdir.path} has {there}")


def _read_validations(workdir: Workdir, saved: OrbaxFolder) -> Validations:
    """Returns the record, with validations from inside checkpoints that are older than it."""
    return validations.read(workdir, saved.valid_bits())


def _on_disk(recorded: Validations, saved: OrbaxFolder) -> Validations:
    """Returns the validations of existing checkpoints."""
    steps = saved.steps
    return {step: bits for step, bits in recorded.items() if step in steps}
