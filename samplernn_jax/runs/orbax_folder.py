"""Pytrees on disk in orbax's format; this is the only module that imports orbax."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp


class OrbaxFolder:
    """A folder that holds a folder for each step, with named pytrees of arrays."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Opens the folder; with `create`, makes it if needed."""
        self._path = path
        self._manager = ocp.CheckpointManager(
            path,
            options=ocp.CheckpointManagerOptions(enable_async_checkpointing=False, create=create),
        )

    def __enter__(self) -> "OrbaxFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the folder."""
        self._manager.close()

    @property
    def steps(self) -> list[int]:
        """The steps in the folder, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, trees: Mapping[str, Any]) -> None:
        """Saves pytrees; returns when they are written.

        Raises:
            ValueError: the pytrees cannot be written; the message is the reason.
        """
        args = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
        try:
            self._manager.save(step, args=ocp.args.Composite(**args))
            self._manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(_reason(error)) from error

    def restore(self, step: int, shapes: Mapping[str, Any]) -> dict[str, Any]:
        """Reads pytrees.

        Args:
            step: the step to read.
            shapes: the pytrees to read and their devices, by name, as ShapeDtypeStructs.

        Raises:
            ValueError: the pytrees cannot be read.
        """
        args = {name: ocp.args.StandardRestore(tree) for name, tree in shapes.items()}
        try:
            trees = self._manager.restore(step, args=ocp.args.Composite(**args))
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{self._path / str(step)}: cannot be read ({_reason(error)}); remove this folder, "
                "and the checkpoint before it is used"
            ) from error
        return {name: trees[name] for name in shapes}

    def remove(self, step: int) -> None:
        """Removes a step."""
        self._manager.delete(step)

    def valid_bits(self) -> dict[int, float]:
        """Returns the validation bits inside checkpoints, by step; version 0.1 wrote such ones."""
        metrics = {step: self._manager.metrics(step) for step in self.steps}
        return {step: found["valid_bits"] for step, found in metrics.items() if found}


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """Returns the shapes of a stored pytree's arrays by their paths; None if it is damaged."""
    try:
        tree = ocp.StandardCheckpointHandler().metadata(folder).tree
    except Exception:  # orbax documents no errors; reading the arrays says what is wrong
        return None
    return shapes_by_path(tree)


def shapes_by_path(tree: Any) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a pytree's arrays by their paths in it."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}


def _reason(error: Exception) -> str:
    """Returns the reason of an error, without the many paths in tensorstore's messages."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(code[1])) if code else str(error)
