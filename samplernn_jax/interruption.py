"""Stopping a run from outside without losing anything.

A run is stopped by Ctrl-C, by SIGTERM before a preemption, or at the end of its time limit.
"""

import contextlib
import dataclasses
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

from samplernn_jax.processes import end_all

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_ONE_PRESS_S = 1.0
"""Signals within this time after the first count as the same one: a shell, a scheduler and
`timeout` may each pass it on."""

_STARTED_WITHIN_S = 60.0
"""Several processes start within this time, so their deadlines differ by less."""


class Interrupted(Exception):
    """Raised when a run was asked to stop, and has saved.

    Attributes:
        exit_code: the exit code of a program that a signal ended; 0 if the time was up.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Request:
    """A request to stop the run, by a signal or the clock.

    Several processes all stop after the same step, whichever of them was asked: they agree through
    jax's preemption service, which notices SIGTERM.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        """Starts the clock; the run is asked to stop after `seconds`."""
        self._deadline = time.monotonic() + seconds
        self._signal_number: int | None = None
        self._ends_at_once = False

    def is_due(self, steps: range) -> bool:
        """Returns whether to stop now.

        It must be called after every call of the training step, with each of the steps: the
        processes agree on a step that none has reached yet, and orbax asks the same service for
        the steps of checkpoints.
        """
        several = jax.process_count() > 1
        if time.monotonic() >= self._deadline and self._signal_number is None:
            self._signal_number = 0
            if several:
                os.kill(os.getpid(), signal.SIGTERM)
        if not several:
            return self._signal_number is not None
        is_due = any(multihost_utils.reached_preemption_sync_point(step) for step in steps)
        if is_due and self._signal_number is None:
            is_time_up = time.monotonic() >= self._deadline - _STARTED_WITHIN_S
            self._signal_number = 0 if is_time_up else signal.SIGTERM
        return is_due

    @property
    def exit_code(self) -> int:
        """See `Interrupted`."""
        return 128 + self._signal_number if self._signal_number else 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        del frame
        self._signal_number = number
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)
        elif self._ends_at_once:
            self._ends_at_once = False  # the unwinding must not be interrupted again
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def ends_at_once(self, message: str) -> Iterator[None]:
        """Lets a signal end the run at once, during work that the next run repeats.

        With several processes, all go on to the next step instead, so that none is left alone.

        Raises:
            Interrupted: a signal came; it has the message.
        """
        try:
            self._ends_at_once = True
            if self._signal_number is not None and jax.process_count() == 1:
                raise KeyboardInterrupt
            yield
        except KeyboardInterrupt:
            raise Interrupted(message, self.exit_code) from None
        finally:
            self._ends_at_once = False


@dataclasses.dataclass
class RunStatus:
    """The position of a run, from which messages say what stopping it would lose.

    Attributes:
        step: the last step that was begun.
        saved_step: the step of the latest checkpoint; 0 where there is none, or an imported model.
    """

    step: int
    saved_step: int

    def on_first_signal(self) -> str:
        """Returns the answer to the first signal, which says what happens now."""
        lost = "nothing" if self.step == self.saved_step else self._unsaved
        if jax.process_count() > 1:
            return (
                "Stopping and saving after the next step that all processes reach; interrupt again "
                f"to stop at once and lose {lost}."
            )
        if self.step == self.saved_step:
            return f"Stopping; step {self.step} is saved."
        return f"Finishing the step and saving; interrupt again to stop at once and lose {lost}."

    def on_second_signal(self) -> str:
        """Returns the answer to the second: what was lost, and where the next run begins."""
        lost = "nothing" if self.step == self.saved_step else self._unsaved
        then = f"goes on after step {self.saved_step}" if self.saved_step else "starts again"
        return f"Stopped at once, which loses {lost}; the same command {then}."

    @property
    def _unsaved(self) -> str:
        steps = self.step - self.saved_step
        return f"{steps:,} step{'s' if steps > 1 else ''}"


@contextlib.contextmanager
def noticed(request: Request, status: RunStatus | None = None) -> Iterator[None]:
    """Yields with handlers that turn the first signal into a request, seen between two steps.

    A second signal ends the program at once. With `status`, both are answered on standard error.
    Outside the main thread, the only one that may handle signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # With several processes, jax handles SIGTERM itself.
    numbers = _SIGNALS if jax.process_count() == 1 else (signal.SIGINT,)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        if status is None:
            restore()
        request.handle(number, frame)

    for number in numbers:
        signal.signal(number, handle)
    try:
        with contextlib.nullcontext() if status is None else _answered(status):
            yield
    finally:
        restore()


@contextlib.contextmanager
def _answered(status: RunStatus) -> Iterator[None]:
    """Answers signals from a thread while the block runs.

    Python runs handlers in the main thread, but only once that stops waiting, maybe for all steps
    that were begun. Python's write to the socket comes at once.
    """
    ours, pythons = socket.socketpair()
    pythons.setblocking(False)
    before = signal.set_wakeup_fd(pythons.fileno())
    thread = threading.Thread(target=_answer, args=(ours, status), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        pythons.close()
        thread.join()
        ours.close()


def _answer(numbers: socket.socket, status: RunStatus) -> None:
    """Answers the first signal, and ends the program at the second.

    The next run ignores files that this leaves half-written.
    """
    asked_at = -math.inf
    while received := numbers.recv(1):
        number, now = received[0], time.monotonic()
        if number not in _SIGNALS or 0 <= now - asked_at < _ONE_PRESS_S:
            continue
        if asked_at > -math.inf:
            end_all(KeyboardInterrupt(), status.on_second_signal(), 128 + number)
            _say(status.on_second_signal())
            os._exit(128 + number)
        _say(status.on_first_signal())
        asked_at = now


def _say(line: str) -> None:
    """Prints below the progress bar, without the locks that the main thread may hold."""
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, f"\n{line}\n".encode())
