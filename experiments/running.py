"""Runs a command once its flags are parsed: errors become sentences and exit codes."""

import os
import sys
from collections.abc import Callable

from experiments.messages import fail, one_line, stopped
from samplernn_jax.devices import give_cpu_devices_threads
from samplernn_jax.interruption import Interrupted
from samplernn_jax.jobs.options.processes import ProcessOptions
from samplernn_jax.processes import end_all, is_first_process, join_processes, leave


def run(act: Callable[[], None], processes: ProcessOptions) -> int:
    """Joins the other processes, if there are any, and runs the command.

    Args:
        act: the command.
        processes: how several processes meet.

    Returns:
        The exit code.
    """
    try:
        give_cpu_devices_threads()
        if processes.coordinator is not None:
            join_processes(processes.coordinator, processes.num_processes, processes.process_id)
        act()
        sys.stdout.flush()
    except OSError as error:
        if error.filename is None and not _can_print():
            return _fail(f"standard output: cannot be written ({error.strerror})", error)
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), error)
    except ValueError as error:
        return _fail(str(error), error)
    except Interrupted as interrupted:
        leave()
        if is_first_process():
            print(f"\n{interrupted}", file=sys.stderr)
        return interrupted.exit_code
    except KeyboardInterrupt as error:
        end_all(error, "it was stopped", 130)
        return stopped()
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(str(error))}"
        end_all(error, reason, 1, with_traceback=True)
        raise
    leave()
    return 0


def _fail(message: str, error: Exception) -> int:
    """Prints the error, and ends all processes if there are several; returns the exit code."""
    end_all(error, one_line(message), 2)
    return fail(message)


def _can_print() -> bool:
    """Returns whether a line can be printed; if not, drops it, as Python tries again at exit."""
    try:
        print(flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
