"""Stopping a run from outside without losing anything.

By Ctrl-C, by SIGTERM before a preemption, or at the end of the time that the run was given.
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
    """A run was asked to stop, and has saved.

    Attributes:
        exit_code: that of a program that a signal ended; 0 where the time was up.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Request:
    """Whether a signal or the clock asks the run to stop.

    Several processes all stop after the same step, whichever of them was asked: they agree through
    jax's preemption service, which notices SIGTERM.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        """Starts the clock; after `seconds` the time is up."""
        self._deadline = time.monotonic() + seconds
        self._signal_number: int | None = None
        self._ends_at_once = False

    def is_due(self, steps: range) -> bool:
        """Whether to stop now.

        Has to be called after every call of the training step, with each of its steps: the
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
        """Notices a signal."""
        del frame
        self._signal_number = number
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)
        elif self._ends_at_once:
            self._ends_at_once = False  # what unwinds now must not be interrupted again
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def ends_at_once(self, message: str) -> Iterator[None]:
        """Lets a signal end the run at once, during work that the next run repeats.

        One of several processes must not leave the others alone: there, all go on to the next step.

        Raises:
            Interrupted: with the message.
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
    """How far a run is, to tell the user who stops it what is lost.

    Attributes:
        step: the step that was begun last.
        saved_step: of the latest checkpoint; 0 where there is none, or an imported model.
    """

    step: int
    saved_step: int

    def on_first_signal(self) -> str:
        """The answer to the first signal: what happens now."""
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
        """The answer to the second: what was lost, and where the next run begins."""
        lost = "nothing" if self.step == self.saved_step else self._unsaved
        then = f"goes on after step {self.saved_step}" if self.saved_step else "starts again"
        return f"Stopped at once, which loses {lost}; the same command {then}."

    @property
    def _unsaved(self) -> str:
        steps = self.step - self.saved_step
        return f"{steps:,} step{'s' if steps > 1 else ''}"


@contextlib.contextmanager
def noticed(request: Request, status: RunStatus | None = None) -> Iterator[None]:
    """Turns the first signal into a request, which the loop sees between two steps.

    A second one ends the program at once. With `status`, both are answered on standard error.
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
    """Answers signals from a thread.

    Python runs handlers in the main thread, once that stops waiting, maybe for all the steps that
    were begun. Its write to the socket comes at once.
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
    """Says what the first signal does; ends the program at the second, wherever it is.

    The next run ignores files that are half written then.
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
    """Writes below the progress bar, without the locks that the main thread may hold."""
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, f"\n{line}\n".encode())
