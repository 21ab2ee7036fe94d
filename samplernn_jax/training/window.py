"""Means of the metrics over the steps between two entries of the log."""

import time

import jax
import numpy as np

from samplernn_jax.training.step import Metrics


class Window:
    """The metrics of the steps since the last log entry, still on the device."""

    def __init__(self) -> None:
        self._pending: list[Metrics] = []
        self.skipped_in_a_row = 0
        self.restart()

    def restart(self) -> None:
        """Restarts the clock at the next step, so that other work does not count."""
        self._began = 0.0
        self._untimed = 1  # the first call is dispatched, and maybe compiled, before the clock

    def add(self, metrics: Metrics) -> None:
        """Adds the metrics of a dispatched call, of one step or several."""
        if not self._began:
            self._began = time.perf_counter()
        self._pending.append(metrics)

    def wait_for_previous(self) -> None:
        """Waits until the last call but one is done, if it was not taken."""
        jax.block_until_ready(self._pending[-2:-1])

    def take(self, wait: bool) -> dict[str, float]:
        """Returns means over the finished steps, or with `wait` over all; {} if there are none.

        Skipped steps are counted, but are not part of the means.
        """
        count = len(self._pending) if wait else len(self._pending) - 1
        taken, self._pending = jax.device_get(self._pending[:count]), self._pending[count:]
        if not taken:
            return {}
        now = time.perf_counter()
        columns = {
            name: np.concatenate([np.atleast_1d(metrics[name]) for metrics in taken])
            for name in taken[0]
        }
        targets, skipped = columns["num_targets"].astype(np.float64), columns["skipped"]
        self.skipped_in_a_row = int(skipped.max())
        untimed = self._untimed * len(skipped) // len(taken)
        values = {}
        if len(skipped) > untimed:
            values = {
                "steps_per_s": (len(skipped) - untimed) / (now - self._began),
                "samples_per_s": float(targets[untimed:].sum() / (now - self._began)),
            }
        done = skipped == 0
        if not done.all():
            values["skipped_steps"] = float(np.count_nonzero(~done))
        if done.any():
            weights = targets[done] / max(targets[done].sum(), 1.0)
            values["train_bits"] = float(columns["bits"][done] @ weights)
            values["grad_norm"] = float(columns["grad_norm"][done].mean())
            if "independent_bits" in columns:
                values["independent_bits"] = float(columns["independent_bits"][done] @ weights)
        self._began, self._untimed = now, 0
        return values
