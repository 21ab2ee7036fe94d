"""The metrics log: JSON lines, TensorBoard, and the learning curve drawn from the former."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorboardX

from samplernn_jax.files import replace_file
from samplernn_jax.training.workdir import Workdir

Entry = dict[str, Any]


class MetricsWriter:
    """Appends to a run's metrics log. One object a line, each with the step it belongs to."""

    def __init__(self, workdir: Workdir, start_step: int) -> None:
        """Opens the log at `start_step`: what a stopped run logged after it is taken out."""
        kept = [entry for entry in read_metrics(workdir) if entry["step"] <= start_step]
        with replace_file(workdir.metrics_file) as partial:
            partial.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
        self._file = workdir.metrics_file.open("a", encoding="utf-8")
        self._board = tensorboardX.SummaryWriter(
            str(workdir.tensorboard), purge_step=start_step + 1
        )

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._board.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Logs numbers."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate_hz: int) -> None:
        """Logs a sound, for TensorBoard only."""
        self._board.add_audio(name, waveform, step, sample_rate=sample_rate_hz)


def read_metrics(workdir: Workdir) -> list[Entry]:
    """The entries of the log; a last line cut short by a kill is passed over."""
    path: Path = workdir.metrics_file
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries
