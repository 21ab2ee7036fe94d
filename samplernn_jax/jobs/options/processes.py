"""Options of jobs that several processes may run together."""

import dataclasses

from samplernn_jax.checks import require
from samplernn_jax.jobs.options.base import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessOptions(Options):
    """How several processes meet; each field's help describes it.

    Raises:
        ValueError: the fields do not go together.
    """

    coordinator: str | None = option(
        "Run this with several processes, on one machine or many: HOST:PORT of process 0, or auto "
        "on TPU pods and under SLURM, Open MPI and Kubernetes.",
        default=None,
    )
    num_processes: int | None = option(
        "With --coordinator=HOST:PORT: number of processes.", default=None, least=1
    )
    process_id: int | None = option(
        "With --coordinator=HOST:PORT: number of this process, from 0.", default=None, least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coordinator in (None, "auto"):
            require(
                self.num_processes is None and self.process_id is None,
                f"coordinator={self.coordinator}: num_processes and process_id go with HOST:PORT "
                "only",
            )
            return
        _check_address(self.coordinator)
        if self.num_processes is None or self.process_id is None:
            raise ValueError(f"coordinator={self.coordinator}: needs num_processes and process_id")
        require(
            self.process_id < self.num_processes,
            f"process_id={self.process_id}: must be less than num_processes={self.num_processes}",
        )


def _check_address(coordinator: str) -> None:
    host, _, port = coordinator.rpartition(":")
    require(
        bool(host and port.isascii() and port.isdigit() and 1 <= int(port) < 2**16),
        f"coordinator={coordinator}: must be HOST:PORT of process 0, with a port from 1 to 65535, "
        "or auto",
    )
