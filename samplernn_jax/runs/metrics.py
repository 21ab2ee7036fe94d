"""The metrics log of a run: one JSON object per line, each with its step."""

import json
from typing import Any

import numpy as np
from pydantic import NonNegativeInt
from typing_extensions import TypedDict

from samplernn_jax import storage
from samplernn_jax.parsing import parse_json, typed
from samplernn_jax.runs.tensorboard import TensorBoard
from samplernn_jax.runs.workdir import Workdir

Entry = dict[str, int | float]


class _HasStep(TypedDict):
    step: NonNegativeInt


class MetricsWriter:
    """A writer of a run's log, which also shows the metrics in TensorBoard."""

    def __init__(self, workdir: Workdir, start_step: int, is_validated: bool) -> None:
        """Opens the log at `start_step`, and removes entries of a stopped run after that step.

        The validation of `start_step` is removed too, unless `is_validated`, as it is repeated.
        """
        kept = [
            entry
            for entry in read_metrics(workdir)
            if entry["step"] < start_step
            or (entry["step"] == start_step and (is_validated or "valid_bits" not in entry))
        ]
        self._file = workdir.metrics_file
        storage.write_text(self._file, "".join(json.dumps(entry) + "\n" for entry in kept))
        storage.ensure_folder(workdir.tensorboard)
        self._board = TensorBoard(workdir.tensorboard, start_step)

    def close(self) -> None:
        """Closes the log."""
        self._board.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Logs numbers."""
        storage.append_text(self._file, json.dumps({"step": step, **values}) + "\n")
        self._board.scalars(step, values)

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate_hz: int) -> None:
        """Shows audio and its spectrogram, in TensorBoard only."""
        self._board.audio(step, name, waveform, sample_rate_hz)


def read_metrics(workdir: Workdir) -> list[Entry]:
    """Returns the entries of the log; a line that was cut short by a kill is left out.

    Raises:
        ValueError: an entry holds something other than numbers, or has no step.
    """
    path = workdir.metrics_file
    if not storage.exists(path):
        return []
    entries = []
    for number, line in enumerate(storage.read_text(path).splitlines(), start=1):
        where = f"{path}, line {number}"
        try:
            entry = parse_json(line, Any, where)
        except ValueError:
            continue
        typed(_HasStep, entry, where, separator=": ")
        entries.append(typed(Entry, entry, where, separator=": "))
    return entries
