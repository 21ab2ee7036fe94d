"""Checkpoints on disk: the only module that imports orbax.

A checkpoint holds two items: `params`, all that evaluation and sampling read (the moving average,
if there is one), and `rest`, what training needs on top to go on exactly (optimizer, carry, step,
and the parameters themselves where `params` is their average). Step 0 is an imported model, which
has no `rest`. Beside them lies `checksums.json`, by which a file that was cut short or changed is
found out before anything is read from it.

A checkpoint is saved before it is validated. What validation gave is in a record of its own, see
`validations`, from which follows what is kept.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from samplernn_jax.config import ArchitectureConfig, TrainConfig
from samplernn_jax.models.interface import abstract_params
from samplernn_jax.models.types import Carry, Params
from samplernn_jax.parsing import read_json
from samplernn_jax.processes import (
    from_first_process,
    is_first_process,
    of_each_process,
    text_from_first_process,
)
from samplernn_jax.runs import validations
from samplernn_jax.runs.validations import Validations
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.storage import checksum, write_json
from samplernn_jax.training.step import TrainState

IMPORTED_STEP = 0

_CHECKSUMS = "checksums.json"
_UNFINISHED = "*.orbax-checkpoint-tmp"

_SPACE_FOR_DETAILS = 2**20
"""What a checkpoint may take on the disk beside its arrays, in bytes."""


class Position(NamedTuple):
    """A point of a training run from which it goes on exactly."""

    state: TrainState
    carry: Carry


class Checkpoints:
    """The checkpoints of a run: the latest few, the few best by validation bits, and an import."""

    def __init__(self, workdir: Workdir, config: TrainConfig) -> None:
        """Opens the folder, and makes it if needed."""
        self._workdir, self._config = workdir, config
        self._folder = workdir.checkpoints
        self._manager = _manager(self._folder)
        _check_same_everywhere(self._folder, sorted(self._manager.all_steps()))
        self._validations = _read_validations(workdir, self._manager)
        # An imported model is validated anew until something was trained, as until then the
        # dataset may change.
        self._forget_after(self.latest_step or -1)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """The step to resume from; None in a fresh run."""
        return self._manager.latest_step()

    @property
    def best(self) -> tuple[float, int] | None:
        """The bits and the step of the best validation, the earliest of equals; None at first."""
        return validations.best(self._validations)

    def best_until(self, step: int) -> tuple[float, int] | None:
        """The same of the steps up to one."""
        return validations.best({s: b for s, b in self._validations.items() if s <= step})

    def is_validated(self, step: int) -> bool:
        """Whether the validation of a step is recorded."""
        return step in self._validations

    def check_step(self, step: int) -> None:
        """Raises ValueError where there is no checkpoint of this step."""
        _check_step(step, self._manager.all_steps(), self._folder.parent)

    def go_back(self, step: int) -> None:
        """Removes all checkpoints after `step`, and the record of them."""
        for later in [s for s in self._manager.all_steps() if s > step]:
            self._manager.delete(later)
        self._forget_after(step)

    def save(self, position: Position) -> None:
        """Saves; removes nothing.

        Raises:
            ValueError: it cannot be written; what was saved before is still there.
        """
        step, items = int(position.state.step), _items(position)
        self._check_space(step, items)
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(**{k: ocp.args.StandardSave(v) for k, v in items.items()}),
            )
            self._manager.wait_until_finished()
            if is_first_process():
                _write_checksums(self._folder / str(step))
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(self._not_written(step, _reason(error))) from error

    def record(self, step: int, valid_bits: float) -> None:
        """Records what the validation of a step gave."""
        self._set_validations({**self._validations, step: valid_bits})

    def prune(self) -> None:
        """Removes what is neither among the latest, nor among the best, nor imported."""
        steps = self._manager.all_steps()
        best = validations.in_order(_on_disk(self._validations, self._manager))
        kept = {
            IMPORTED_STEP,
            *sorted(steps)[-self._config.keep_latest :],
            *best[: self._config.keep_best],
        }
        for step in [s for s in steps if s not in kept]:
            self._manager.delete(step)

    def remove(self, step: int) -> None:
        """Removes a checkpoint that is good for nothing."""
        self._manager.delete(step)

    def _forget_after(self, last: int) -> None:
        """Forgets the validations of steps that are still, or again, to come."""
        self._set_validations({s: b for s, b in self._validations.items() if s <= last})

    def _set_validations(self, new: Validations) -> None:
        if new != self._validations and is_first_process():
            validations.write(self._workdir, new)
        self._validations = new

    def _check_space(self, step: int, items: dict[str, Any]) -> None:
        """Raises ValueError where the disk is too full, before anything is written."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(items))
        free = from_first_process(float(shutil.disk_usage(self._folder).free))
        if free < needed + _SPACE_FOR_DETAILS:
            raise ValueError(
                self._not_written(
                    step, f"{free / 2**20:.1f} MiB are free, {needed / 2**20:.1f} MiB needed"
                )
            )

    def _not_written(self, step: int, reason: str) -> str:
        return (
            f"{self._folder / str(step)}: cannot be written ({reason}); the checkpoints before it "
            "are intact, and the same command goes on from the latest"
        )

    def restore(self, like: Position, step: int | None = None) -> Position:
        """Loads a checkpoint onto the devices where `like` is.

        Of an imported model it loads the parameters, and the rest is that of `like`.

        Args:
            like: gives shapes, types and places.
            step: of the checkpoint; None for the latest.
        """
        step = self.latest_step if step is None else step
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _items(like)
        )
        if step == IMPORTED_STEP:
            del abstract["rest"]
        items = _read(self._manager, self._folder, step, abstract)
        if step == IMPORTED_STEP:
            state = like.state._replace(params=items["params"])
            if state.average is not None:
                state = state._replace(average=jax.tree.map(jnp.copy, state.params))
            return like._replace(state=state)
        rest = items["rest"]
        carry = rest.pop("carry")
        if like.state.average is None:
            return Position(TrainState(params=items["params"], average=None, **rest), carry)
        return Position(TrainState(average=items["params"], **rest), carry)


def recover(workdir: Workdir, report: Callable[[str], None]) -> None:
    """Makes sure that all checkpoints are sound, whatever happened to the last run.

    Removes what a kill in a save left, and puts aside what is not as it was written. To be called
    by one process, while none has them open.

    Raises:
        ValueError: no checkpoint is sound.
    """
    for unfinished in workdir.checkpoints.glob(_UNFINISHED):
        shutil.rmtree(unfinished)
    folders = [f for f in workdir.checkpoints.glob("*") if f.name.isdigit()]
    damaged = {folder: next(_damaged_files(folder), None) for folder in folders}
    if folders and all(damaged.values()):
        raise ValueError(
            f"workdir={workdir.path}: every checkpoint is damaged; choose another workdir to "
            "start anew"
        )
    for folder, file in damaged.items():
        if file is not None:
            target = workdir.damaged_checkpoints / folder.name
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(exist_ok=True)
            folder.rename(target)
            report(
                f"The checkpoint of step {folder.name} is damaged ({file} is not what was "
                f"written); it lies in {target} now, and the one before is used."
            )


def save_imported(workdir: Workdir, params: Params) -> None:
    """Saves the parameters of an imported model, for evaluation, sampling and further training."""
    with _manager(workdir.checkpoints) as manager:
        manager.save(
            IMPORTED_STEP,
            args=ocp.args.Composite(params=ocp.args.StandardSave(params)),
        )
    _write_checksums(workdir.checkpoints / str(IMPORTED_STEP))


def restore_params(
    workdir: Workdir, config: ArchitectureConfig, step: int | None = None
) -> tuple[int, Params]:
    """Loads the parameters of the best checkpoint, or of the one of `step`.

    Where none was validated yet, the latest stands for the best.

    Returns:
        The step and the parameters, on the first local device.

    Raises:
        ValueError: there is no such checkpoint, or it is not of this model.
    """
    if not workdir.has_checkpoint:
        raise ValueError(f"workdir={workdir.path}: holds no checkpoint yet")
    with _manager(workdir.checkpoints, create=False) as manager:
        steps = sorted(manager.all_steps())
        if step is None:
            best = validations.best(_on_disk(_read_validations(workdir, manager), manager))
            step = steps[-1] if best is None else best[1]
        _check_step(step, steps, workdir.path)
        folder = workdir.checkpoints / str(step)
        for damaged in _damaged_files(folder):
            raise ValueError(
                f"{folder / damaged}: is damaged, choose the checkpoint of another step: "
                f"{', '.join(str(other) for other in steps if other != step)}"
            )
        _check_model(workdir, folder, config)
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
            abstract_params(config),
        )
        restored = _read(manager, workdir.checkpoints, step, {"params": abstract})
    return step, restored["params"]


def _check_model(workdir: Workdir, folder: Path, config: ArchitectureConfig) -> None:
    """Raises ValueError where a checkpoint's parameters are not the model's.

    Orbax finds that out as well, one by one in threads that go on while it fails.
    """
    try:
        stored = ocp.StandardCheckpointHandler().metadata(folder / "params").tree
    except Exception:  # of a damaged checkpoint, which is told when it is read
        return
    saved, expected = (
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(tree)}
        for tree in (stored, abstract_params(config))
    )
    for name in sorted(saved.keys() | expected.keys()):
        if saved.get(name) != expected.get(name):
            raise ValueError(
                f"{workdir.config_file}: is of another model than {folder}, whose {name} is "
                f"{saved.get(name, 'not there')}, not {expected.get(name, 'there')}"
            )


def _read(
    manager: ocp.CheckpointManager, folder: Path, step: int | None, abstract: dict[str, Any]
) -> dict[str, Any]:
    """Items of a checkpoint; an error says which one cannot be read."""
    args = {name: ocp.args.StandardRestore(value) for name, value in abstract.items()}
    try:
        items = manager.restore(step, args=ocp.args.Composite(**args))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{folder / str(step)}: cannot be read ({_reason(error)}); without this folder the "
            "checkpoint before it is used"
        ) from error
    return {name: items[name] for name in abstract}


def _check_same_everywhere(folder: Path, steps: list[int]) -> None:
    """Raises ValueError where a process sees other checkpoints than the first one does."""
    told = json.loads(text_from_first_process(json.dumps(steps)))
    other = [str(number) for number, same in enumerate(of_each_process(steps == told)) if not same]
    if other:
        raise ValueError(
            f"{folder}: process {', '.join(other)} sees other checkpoints there than process 0, "
            f"which sees those of steps {', '.join(map(str, told)) or '(none)'}; run again when "
            "the shared disk shows the same to all"
        )


def _check_step(step: int | None, steps: list[int], path: Path) -> None:
    if step not in steps:
        there = (
            f"checkpoints of steps {', '.join(map(str, sorted(steps)))}" if steps else "none yet"
        )
        raise ValueError(f"step={step}: workdir {path} has {there}")


def _write_checksums(folder: Path) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    write_json(
        folder / _CHECKSUMS, {str(file.relative_to(folder)): checksum(file) for file in files}
    )


def _damaged_files(folder: Path) -> Iterator[str]:
    """Files that are missing or not as they were written.

    A run that was killed before it could write the checksums leaves a checkpoint without, which
    is whole all the same.
    """
    if not (folder / _CHECKSUMS).is_file():
        return
    try:
        expected = read_json(folder / _CHECKSUMS, dict[str, str])
    except ValueError:
        yield _CHECKSUMS
        return
    for name, value in expected.items():
        if not (folder / name).is_file() or checksum(folder / name) != value:
            yield name


def _reason(error: Exception) -> str:
    """Why a file could not be written, without the many paths that tensorstore tells of."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(code[1])) if code else str(error)


def _items(position: Position) -> dict[str, Any]:
    state, carry = position
    rest = {**state._asdict(), "carry": carry}
    del rest["average"]
    if state.average is None:
        del rest["params"]
    return {"params": state.best_params, "rest": rest}


def _read_validations(workdir: Workdir, manager: ocp.CheckpointManager) -> Validations:
    """The record, with what is in checkpoints that were saved before there was one."""
    metrics = {step: manager.metrics(step) for step in manager.all_steps()}
    inside = {step: found["valid_bits"] for step, found in metrics.items() if found}
    return validations.read(workdir, inside)


def _on_disk(recorded: Validations, manager: ocp.CheckpointManager) -> Validations:
    """Those whose checkpoints are there."""
    return {step: bits for step, bits in recorded.items() if step in manager.all_steps()}


def _manager(path: Path, **options: Any) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(
        path,
        options=ocp.CheckpointManagerOptions(enable_async_checkpointing=False, **options),
    )
