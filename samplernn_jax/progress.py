"""The progress of long work, shown on stderr by the first process only."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from samplernn_jax.processes import is_first_process
from samplernn_jax.units import clock_time

_BAR_AFTER_S = 2.0
"""The delay in seconds of a bar; shorter work needs none."""

LINE_EVERY_S = 30.0
"""The seconds between lines where there is no bar."""


class Progress:
    """A bar on a terminal, or a line from time to time elsewhere."""

    def __init__(
        self, what: str, total: int, unit: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Starts the clock.

        Args:
            what: the work, such as "evaluating test".
            total: the number of units.
            unit: the name of the units, in the plural.
            clock: returns the time in seconds.
        """
        self._what, self._total, self._unit, self._clock = what, total, unit, clock
        self._done, self._began = 0, clock()
        self._last_line = self._began
        self._is_shown = is_first_process()
        self._bar = tqdm(
            desc=what,
            total=total,
            unit=f" {unit}",
            unit_scale=True,
            delay=_BAR_AFTER_S,
            leave=False,
            disable=None if self._is_shown else True,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, units: int) -> None:
        """Counts more units as done."""
        self._done += units
        self._bar.update(units)
        now = self._clock()
        if not self._is_shown or not self._bar.disable or now - self._last_line < LINE_EVERY_S:
            return
        self._last_line = now
        left_s = (now - self._began) * (self._total - self._done) / max(self._done, 1)
        print(
            f"{self._what}: {self._done:,} of {self._total:,} {self._unit} "
            f"({self._done / self._total:.0%}), {clock_time(left_s)} left",
            file=sys.stderr,
            flush=True,
        )
