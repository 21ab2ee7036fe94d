"""Checks for a full disk."""

import contextlib
import errno
from collections.abc import Iterator

from samplernn_jax.checks import require
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.processes import from_first_process
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.sizes import checkpoint_bytes
from samplernn_jax.storage import free_bytes
from samplernn_jax.units import describe_bytes


def check_disk(config: ExperimentConfig, workdir: Workdir) -> None:
    """Raises ValueError if there is no room for a checkpoint."""
    needed = checkpoint_bytes(config)
    free = int(from_first_process(float(free_bytes(workdir.path))))
    require(
        needed <= free,
        f"workdir={workdir.path}: must have room for a checkpoint, which takes about "
        f"{describe_bytes(needed)}, but only {describe_bytes(free)} are free",
    )


@contextlib.contextmanager
def full_disk_as_sentence(workdir: Workdir) -> Iterator[None]:
    """Turns errors of a full disk in the block into advice.

    Raises:
        ValueError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ValueError(
            f"workdir={workdir.path}: {error.strerror}; make room and run the same command again, "
            "which goes on from the latest checkpoint"
        ) from error
