"""Metrics: on the device, and in the log as JSON lines and for TensorBoard."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from pydantic import NonNegativeInt
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.utils import figure_to_image
from typing_extensions import TypedDict

from samplernn_jax.parsing import parse_json, typed
from samplernn_jax.plots import clips_figure
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.storage import replace_file
from samplernn_jax.training.step import Metrics

Entry = dict[str, int | float]


class _HasStep(TypedDict):
    step: NonNegativeInt


class MetricsWriter:
    """Appends to a run's metrics log. One object a line, each with the step it belongs to.

    Everything is written at once: a thread that meets a full disk, such as the one of
    tensorboardX's own writer, would end unnoticed, and the next entry wait for it for ever.
    """

    def __init__(self, workdir: Workdir, start_step: int, is_validated: bool) -> None:
        """Opens the log at `start_step`: what a stopped run logged after it is taken out.

        So is its validation, unless that `is_validated`, as it comes again.
        """
        kept = [
            entry
            for entry in read_metrics(workdir)
            if entry["step"] < start_step
            or (entry["step"] == start_step and (is_validated or "valid_bits" not in entry))
        ]
        with replace_file(workdir.metrics_file) as partial:
            partial.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
        self._path = workdir.metrics_file
        workdir.tensorboard.mkdir(exist_ok=True)
        # The name begins with the time; runs of the same second differ in the process.
        events = str(workdir.tensorboard / "events")
        self._board = EventsWriter(events, filename_suffix=f".{os.getpid()}")
        purge = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(start_step + 1, session_log=purge)

    def close(self) -> None:
        """Closes the log."""
        with contextlib.suppress(OSError):  # what could not be written was said when it was tried
            self._board.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Logs numbers."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._add(step, summary=summary.scalar(_tag(name), value))

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate_hz: int) -> None:
        """Logs a sound and its spectrogram, for TensorBoard only."""
        sound = summary.audio(f"samples/{name}", waveform, sample_rate=sample_rate_hz)
        self._add(step, summary=sound)
        figure = clips_figure({f"{name} after step {step}": waveform}, sample_rate_hz)
        self._add(step, summary=summary.image(f"spectrograms/{name}", figure_to_image(figure)))

    def _add(self, step: int, **content: Any) -> None:
        self._board.write_event(event_pb2.Event(wall_time=time.time(), step=step, **content))
        self._board.flush()


def _tag(name: str) -> str:
    """Where TensorBoard shows a number: bits of training and validation side by side."""
    if name.endswith("_bits"):
        return f"bits/{name.removesuffix('_bits')}"
    return f"training/{name}"


def read_metrics(workdir: Workdir) -> list[Entry]:
    """The entries of the log; a line cut short by a kill is passed over.

    Raises:
        ValueError: an entry is not of numbers, or lacks its step.
    """
    path: Path = workdir.metrics_file
    if not path.exists():
        return []
    entries = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        try:
            entry = parse_json(line, Any, where)
        except ValueError:
            continue
        typed(_HasStep, entry, where, separator=": ")
        entries.append(typed(Entry, entry, where, separator=": "))
    return entries


class Window:
    """The metrics of the steps since the last log entry, still on the device."""

    def __init__(self) -> None:
        self._pending: list[Metrics] = []
        self.skipped_in_a_row = 0
        self.restart()

    def restart(self) -> None:
        """Starts the clock at the next step, so that what happens outside does not count."""
        self._began = 0.0
        self._untimed = 1  # the first call is dispatched, and maybe compiled, before the clock

    def add(self, metrics: Metrics) -> None:
        """Adds a call that was dispatched, of one step or of several."""
        if not self._began:
            self._began = time.perf_counter()
        self._pending.append(metrics)

    def wait_for_previous(self) -> None:
        """Returns when the last call but one is done, if it was not taken."""
        jax.block_until_ready(self._pending[-2:-1])

    def take(self, wait: bool) -> dict[str, float]:
        """Means over the finished steps, or with `wait` over all; {} where there is none.

        Skipped steps are counted, and have no part in the means.
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
