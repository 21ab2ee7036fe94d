"""Flags of the commands that several processes may run together, and what follows from them."""

from absl import flags

from samplernn_jax.processes import join_processes

_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "Several processes, on one machine or many, do this together: HOST:PORT of process 0, or auto "
    "where a TPU pod, SLURM, Open MPI or Kubernetes tells.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "With --coordinator=HOST:PORT: how many processes.", lower_bound=1
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "With --coordinator=HOST:PORT: which one this is, from 0.", lower_bound=0
)


def join() -> None:
    """Joins the other processes, if there are any.

    Raises:
        ValueError: the flags do not go together, or the processes cannot meet.
    """
    given = [flag.value is not None for flag in (_NUM_PROCESSES, _PROCESS_ID)]
    coordinator = _COORDINATOR.value
    if coordinator in (None, "auto"):
        if any(given):
            raise ValueError(
                f"coordinator={coordinator}: num_processes and process_id go with HOST:PORT only"
            )
    else:
        _check_address(coordinator)
        if not all(given):
            raise ValueError(f"coordinator={coordinator}: needs num_processes and process_id")
        if _PROCESS_ID.value >= _NUM_PROCESSES.value:
            raise ValueError(
                f"process_id={_PROCESS_ID.value}: must be less than "
                f"num_processes={_NUM_PROCESSES.value}"
            )
    if coordinator is not None:
        join_processes(coordinator, _NUM_PROCESSES.value, _PROCESS_ID.value)


def _check_address(coordinator: str) -> None:
    host, _, port = coordinator.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 1 <= int(port) < 2**16):
        raise ValueError(
            f"coordinator={coordinator}: must be HOST:PORT of process 0, with a port from 1 to "
            "65535, or auto"
        )
