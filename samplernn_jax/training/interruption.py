"""Stopping a run from outside without losing anything.

Ctrl-C, SIGTERM before a preemption, and the end of the time that a run was given.
"""

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_STARTED_WITHIN_S = 60.0
"""The clocks of several processes differ by less than this."""


class Interrupted(Exception):
    """A run was asked to stop, and saved before it did.

    Attributes:
        exit_code: as a shell gives it to a program that a signal ended; 0 where the time was up.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Request:
    """Whether the run was asked to stop, by a signal or by the clock.

    Of several processes all stop after the same step, whichever of them was asked: they agree
    through jax's preemption service, which takes notice of SIGTERM.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        """`seconds` from now the time is up."""
        self._deadline = time.monotonic() + seconds
        self._signal_number: int | None = None

    def is_due(self, steps: range) -> bool:
        """Whether to stop now; to be asked after every call with the steps that it did.

        The processes agree on a step that none has reached yet. Orbax asks the same service with
        the step of a checkpoint, so that each step has to be asked for.
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
        """Takes notice of a signal."""
        del frame
        self._signal_number = number
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def noticed(request: Request) -> Iterator[None]:
    """Turns the first signal into a request, for the loop to see between two steps.

    A second one ends the program at once. Outside of the main thread, which alone may handle
    signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Of several processes jax handles SIGTERM itself.
    numbers = _SIGNALS if jax.process_count() == 1 else (signal.SIGINT,)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        request.handle(number, frame)

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()
