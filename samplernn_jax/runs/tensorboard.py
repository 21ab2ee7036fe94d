"""TensorBoard's view of a run; this is the only module that imports tensorboardX."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.utils import figure_to_image

from samplernn_jax.plots import clips_figure


class TensorBoard:
    """A writer of event files, one for each start of the run.

    Every entry is written immediately. The thread of tensorboardX's own writer would end unnoticed
    when the disk is full, and the next entry would wait for it forever.
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        """Opens a new event file.

        Args:
            folder: the folder of the event files, an existing one.
            start_step: the step after which the run goes on; TensorBoard drops later steps of
                earlier files.
        """
        # The name begins with the time; runs of the same second differ in the process number.
        self._file = EventsWriter(str(folder / "events"), filename_suffix=f".{os.getpid()}")
        purge = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(start_step + 1, session_log=purge)

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):  # a failed write was reported when it was tried
            self._file.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Shows numbers."""
        for name, value in values.items():
            self._add(step, summary=summary.scalar(_tag(name), value))

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate_hz: int) -> None:
        """Shows audio and its spectrogram."""
        sound = summary.audio(f"samples/{name}", waveform, sample_rate=sample_rate_hz)
        self._add(step, summary=sound)
        figure = clips_figure({f"{name} after step {step}": waveform}, sample_rate_hz)
        self._add(step, summary=summary.image(f"spectrograms/{name}", figure_to_image(figure)))

    def _add(self, step: int, **content: Any) -> None:
        self._file.write_event(event_pb2.Event(wall_time=time.time(), step=step, **content))
        self._file.flush()


def _tag(name: str) -> str:
    """Returns the tag of a number; bits of training and validation are side by side."""
    if name.endswith("_bits"):
        return f"bits/{name.removesuffix('_bits')}"
    return f"training/{name}"
