"""The integrity of checkpoints: checksums of their files, and recovery from damage."""

from collections.abc import Callable, Iterator
from pathlib import Path

from samplernn_jax import storage
from samplernn_jax.checks import require
from samplernn_jax.runs.workdir import Workdir

_CHECKSUMS = "checksums.json"
_UNFINISHED = ".orbax-checkpoint-tmp"


def write_checksums(checkpoint: Path) -> None:
    """Writes the checksums of a checkpoint's files beside them."""
    files = storage.files_below(checkpoint)
    checksums = {name: storage.checksum(checkpoint / name) for name in files}
    storage.write_json(checkpoint / _CHECKSUMS, checksums)


def damaged_files(checkpoint: Path) -> Iterator[str]:
    """Yields the files of a checkpoint that are missing or were changed.

    A checkpoint without checksums counts as intact: it was complete before the run was killed.
    """
    file = checkpoint / _CHECKSUMS
    if not storage.exists(file):
        return
    try:
        expected = storage.read_json(file, dict[str, str])
    except ValueError:
        yield _CHECKSUMS
        return
    yield from (n for n, value in expected.items() if not storage.is_intact(checkpoint / n, value))


def recover(workdir: Workdir, report: Callable[[str], None]) -> None:
    """Makes sure that only intact checkpoints are left, however the last run ended.

    It removes the remains of a save that was killed, and moves damaged checkpoints aside. Only one
    process may call it, and no process may have the checkpoints open.

    Raises:
        ValueError: every checkpoint is damaged.
    """
    for name in storage.names(workdir.checkpoints):
        if name.endswith(_UNFINISHED):
            storage.remove_folder(workdir.checkpoints / name)
    folders = [workdir.checkpoint(step) for step in workdir.steps]
    damaged = {folder: next(damaged_files(folder), None) for folder in folders}
    require(
        not folders or None in damaged.values(),
        f"workdir={workdir.path}: every checkpoint is damaged; choose another workdir to "
        "start anew",
    )
    for folder, file in damaged.items():
        if file is not None:
            target = workdir.damaged_checkpoints / folder.name
            storage.move_folder(folder, target)
            report(
                f"The checkpoint of step {folder.name} is damaged ({file} is not what was "
                f"written); it was moved to {target}, and the one before it is used."
            )
