"""Stopping a run from outside without losing anything: Ctrl-C, and SIGTERM before a preemption."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A run was asked to stop, and saved before it did.

    Attributes:
        exit_code: as a shell gives it to a program that a signal ended.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class Request:
    """Whether, and by which signal, the run was asked to stop."""

    def __init__(self) -> None:
        self.signal_number: int | None = None


@contextlib.contextmanager
def noticed() -> Iterator[Request]:
    """Turns the first signal into a request, for the loop to see between two steps.

    A second one ends the program at once. Outside of the main thread, which alone may handle
    signals, nothing changes.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        request.signal_number = number
        restore()

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
