"""A run's claim on its workdir: no other run writes there, and all its processes see it."""

import contextlib
import secrets
import time
from collections.abc import Iterator

import jax

from samplernn_jax import storage
from samplernn_jax.checks import require
from samplernn_jax.processes import from_first_process, is_first_process, processes_without
from samplernn_jax.runs.workdir import Workdir

_SEEN_WITHIN_S = 60.0
"""Seconds to wait, as NFS may take a minute to show a new file to a host that looked too early."""


@contextlib.contextmanager
def claimed(workdir: Workdir) -> Iterator[None]:
    """Keeps other runs out of the workdir while the block runs; removes it if it was left empty.

    Raises:
        ValueError: another run holds the workdir, it cannot be made, or some process does not see
            it.
    """
    token, was_there = secrets.randbits(48), storage.exists(workdir.path)
    try:
        with contextlib.ExitStack() as stack:
            if is_first_process():
                storage.make_folder("workdir", workdir.path)
                what = f"workdir={workdir.path}"
                stack.enter_context(storage.held(workdir.path, what, str(token)))
            check_is_shared(workdir, str(int(from_first_process(float(token)))))
            yield
    finally:
        if is_first_process() and not was_there:
            storage.remove_if_empty(workdir.path)


def check_is_shared(workdir: Workdir, token: str, within_s: float = _SEEN_WITHIN_S) -> None:
    """Checks that every process sees a file that the first one has just written to the workdir.

    Args:
        workdir: the workdir of the run.
        token: the content that the holder's file must have.
        within_s: the seconds to wait for it.

    Raises:
        ValueError: some processes do not see it, as their folder of this name is a different one.
    """
    deadline = time.monotonic() + within_s
    while not (seen := _token(workdir) == token) and time.monotonic() < deadline:
        time.sleep(0.2)
    blind = processes_without(seen)
    require(
        not blind,
        f"workdir={workdir.path}: must be a folder that all of the {jax.process_count()} "
        f"processes share, but process {', '.join(map(str, blind))} does not see what "
        "process 0 writes" + ("" if workdir.path.is_absolute() else "; give an absolute path"),
    )


def _token(workdir: Workdir) -> str | None:
    try:
        return storage.read_holder(workdir.path)["token"]
    except (OSError, ValueError):  # not there yet
        return None
