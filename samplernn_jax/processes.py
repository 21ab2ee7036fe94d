"""Several processes that train together: they meet, agree on values, and end together.

After an error in one process the others would wait for it in a collective, until jax gives up
after minutes and aborts. So a process that fails leaves a note on jax's coordination service, with
the reason in one sentence; every process watches for such a note, and all end. The service also
holds a heartbeat of each process, by which the first process notices one that was killed.
"""

import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import time
import traceback
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from jax._src import distributed  # the service's notes have no public name in jax
from jax.experimental import multihost_utils

_MEET_WITHIN_S = 55
"""Seconds to join, as a process that fails before it joins cannot leave a note for the others."""

_BEAT_S = 1.0
_DEAD_AFTER_S = 40.0
"""Seconds without a heartbeat: longer than any pause of a live process, and well below a minute."""

_GOODBYE_S = 10.0
"""Seconds for which the first process, which holds the notes, waits for the others to read them."""

_FAILURE = "samplernn_jax/failure"
_BEATS = "samplernn_jax/beats"
_READ = "samplernn_jax/read"
_LEFT = "left"


class Failure(NamedTuple):
    """The reason for which all processes end.

    Attributes:
        process: the number of the process that failed.
        reason: one sentence.
        exit_code: the exit code of all processes.
    """

    process: int
    reason: str
    exit_code: int


_has_left = threading.Event()
_is_ending = threading.Lock()


def join_processes(
    coordinator: str, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Makes this process one of several that train together; call it before jax is first used.

    Args:
        coordinator: the host and port of the first process, where all meet; "auto" to take
            everything from the environment of a TPU pod, SLURM, Open MPI or Kubernetes.
        num_processes: the number of processes; not with "auto".
        process_id: the number of this process, from 0; not with "auto".

    Raises:
        ValueError: the processes cannot meet with these values.
    """
    late = threading.Timer(_MEET_WITHIN_S, _give_up, [coordinator])
    late.daemon = True
    late.start()
    try:
        if coordinator == "auto":
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(
                coordinator, num_processes, process_id, cluster_detection_method="deactivate"
            )
    except (ValueError, RuntimeError) as error:
        hint = (
            "found no cluster in the environment; give HOST:PORT, num_processes and process_id"
            if coordinator == "auto"
            else "must be HOST:PORT of process 0, with num_processes and process_id"
        )
        raise ValueError(f"coordinator={coordinator}: {hint} ({error})") from error
    finally:
        late.cancel()
    if jax.process_count() > 1:
        threading.Thread(target=_watch, daemon=True, name="watch processes").start()


def is_first_process() -> bool:
    """Returns whether this process is the one that writes files and prints for all."""
    return jax.process_index() == 0


def wait_for_all(where: str) -> None:
    """Returns when every process has reached this point."""
    multihost_utils.sync_global_devices(where)


def from_first_process(value: float) -> float:
    """Returns the first process's value, to the last bit, so that all decide alike."""
    words = np.array([value], np.float64).view(np.uint32)
    return float(np.asarray(multihost_utils.broadcast_one_to_all(words)).view(np.float64)[0])


def text_from_first_process(text: str) -> str:
    """Returns the first process's text, so that all decide alike."""
    content = np.frombuffer(text.encode(), np.uint8)
    length = int(from_first_process(float(len(content))))
    padded = np.pad(content[:length], (0, length - len(content[:length])))
    return multihost_utils.broadcast_one_to_all(padded).tobytes().decode()


def processes_without(condition: bool) -> list[int]:
    """Returns the numbers of the processes in which a condition does not hold, equal in all."""
    holds = multihost_utils.process_allgather(np.array([condition], np.int32)).ravel()
    return [int(number) for number in np.flatnonzero(holds == 0)]


def leave() -> None:
    """Notes that this process is done, so that its missing heartbeat is not taken for a failure."""
    if are_several():
        _has_left.set()
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # the service has ended already
            _write(f"{_BEATS}/{jax.process_index()}", _LEFT)


def end_all(
    error: BaseException, reason: str, exit_code: int, with_traceback: bool = False
) -> None:
    """Ends all processes because this one cannot go on; does nothing if it is alone.

    The process that fails first prints why, and process 0 repeats it; the others end silently.

    Args:
        error: the error.
        reason: the error in one sentence.
        exit_code: the exit code of all processes.
        with_traceback: show where the error was raised, if this process failed first.
    """
    if not are_several():
        return
    if _is_of_connection(error):  # another process is gone, and its reason will be known soon
        deadline = time.monotonic() + _DEAD_AFTER_S + 5 * _BEAT_S
        while time.monotonic() < deadline and _failure() is None:
            time.sleep(_BEAT_S / 2)
    if with_traceback and _failure() is None:
        traceback.print_exception(error)
    mine = Failure(jax.process_index(), reason, exit_code)
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # another process failed first
        _write(_FAILURE, json.dumps(mine), only_first=True)
    _end(_failure() or mine)


def are_several() -> bool:
    """Returns whether this process has joined others."""
    return distributed.global_state.client is not None and jax.process_count() > 1


def _is_of_connection(error: BaseException | None) -> bool:
    """Returns whether an error comes from the connection to the other processes.

    Some errors of gloo, which connects CPUs, have other types than JAX's own.
    """
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError):
            return "RESOURCE_EXHAUSTED" not in str(error)
        if "gloo" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _watch() -> None:
    """Ends this process when another one has failed; runs in a thread of each process."""
    index, beats = jax.process_index(), _Beats()
    for beat in itertools.count():
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # others have failed or ended
            if not _has_left.is_set():
                _write(f"{_BEATS}/{index}", str(beat))
            dead = beats.missing(_notes(_BEATS), time.monotonic()) if index == 0 else None
            if dead is not None:
                failure = Failure(dead, "it was killed, or its host is gone", 1)
                _write(_FAILURE, json.dumps(failure), only_first=True)
        if (failure_of_any := _failure()) is not None:
            _end(failure_of_any)
        time.sleep(_BEAT_S)


class _Beats:
    """The times at which the heartbeat of each process last changed."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}

    def missing(self, beats: dict[str, str], now_s: float) -> int | None:
        """Returns a process whose heartbeat has not changed for too long, or None.

        Args:
            beats: the heartbeat of each process.
            now_s: the present time in seconds.
        """
        for process, beat in beats.items():
            before, since_s = self._last.get(process, ("", now_s))
            if beat != before:
                self._last[process] = beat, now_s
            elif beat != _LEFT and now_s - since_s > _DEAD_AFTER_S:
                return int(process)
        return None


def _end(failure: Failure) -> NoReturn:
    """Ends this process at once, even if its threads are waiting."""
    _is_ending.acquire()  # for good: the main thread and the watching one may both come here
    index = jax.process_index()
    if index == failure.process:
        print(f"error: {failure.reason}", file=sys.stderr)
    elif index == 0:
        print(f"error: process {failure.process}: {failure.reason}", file=sys.stderr)
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        _write(f"{_READ}/{index}", socket.gethostname())
        deadline = time.monotonic() + _GOODBYE_S
        while index == 0 and time.monotonic() < deadline and not _all_have_read(failure):
            time.sleep(_BEAT_S / 10)
    _exit(failure.exit_code)


def _all_have_read(failure: Failure) -> bool:
    expected = set(range(jax.process_count())) - {failure.process}
    return expected <= {int(process) for process in _notes(_READ)}


def _give_up(coordinator: str) -> None:
    print(
        f"error: coordinator={coordinator}: some processes did not join within {_MEET_WITHIN_S} s; "
        "start all of them within that time, and check their messages",
        file=sys.stderr,
    )
    _exit(2)


def _exit(code: int) -> NoReturn:
    """Exits without Python's and jax's exit handlers, which would wait for the others."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _failure() -> Failure | None:
    try:
        return Failure(*json.loads(_client().key_value_try_get(_FAILURE)))
    except jax.errors.JaxRuntimeError:
        return None


def _notes(folder: str) -> dict[str, str]:
    return {name.rpartition("/")[2]: value for name, value in _client().key_value_dir_get(folder)}


def _write(name: str, value: str, only_first: bool = False) -> None:
    _client().key_value_set(name, value, allow_overwrite=not only_first)


def _client() -> Any:
    """Returns the client of the service, until jax has shut down."""
    if distributed.global_state.client is None:
        raise jax.errors.JaxRuntimeError("jax has shut down")
    return distributed.global_state.client
