"""Recordings in files of any format: libsndfile reads those that it can, FFmpeg all others."""

import contextlib
import io
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from samplernn_jax.audio import containers, sndfile
from samplernn_jax.audio.recording import (
    SAMPLE_RATES_HZ,
    Balance,
    MonoRecording,
    Opener,
    OpenRecording,
    Waveform,
    resampled,
)
from samplernn_jax.checks import require


def extensions() -> frozenset[str]:
    """Returns the file name endings of recordings, such as ".wav"."""
    return sndfile.extensions() | containers.EXTENSIONS


@contextlib.contextmanager
def open_recording(
    path: Path, start: int = 0, num_frames: int | None = None
) -> Iterator[OpenRecording]:
    """Opens a file in any format that libsndfile or FFmpeg reads, whatever its ending.

    Args:
        path: the file.
        start: the first frame to read. FFmpeg decodes from the beginning, so that frames are
            counted exactly.
        num_frames: the number of frames to read; None for all that follow.

    Raises:
        ValueError: the file cannot be read; the blocks raise DamagedError where it is cut short.
    """
    with _open_file(path) as raw, contextlib.ExitStack() as stack:
        try:
            recording = stack.enter_context(sndfile.open_recording(raw, start, num_frames))
        except sndfile.NotReadError:
            recording = stack.enter_context(containers.open_recording(raw, start, num_frames))
        rate, (lowest, highest) = recording.sample_rate_hz, SAMPLE_RATES_HZ
        require(
            lowest <= rate <= highest, f"has an impossible sample rate in its header, {rate} Hz"
        )
        yield recording


def _open_file(path: Path) -> io.FileIO:
    """Opens the file here, as the libraries do not give the reason if they cannot."""
    try:
        status = path.stat()
        is_file = stat.S_ISREG(status.st_mode)  # opening a pipe would wait for its writer
        require(is_file, "must be a file, not a folder, pipe or device")
        require(status.st_size > 0, "is empty (0 bytes)")
        return path.open("rb", buffering=0)  # the libraries seek in it too
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error


def read_mono(open_it: Opener, sample_rate_hz: int) -> MonoRecording:
    """Reads a whole recording, mixed down and resampled.

    If the channels cancel each other, the recording is read again, for its loudest channel.

    Args:
        open_it: opens the recording, if needed twice.
        sample_rate_hz: the sample rate of the result.

    Raises:
        ValueError: the recording cannot be read, is cut short, or holds a value that is not finite.
    """
    balance = Balance()
    with open_it() as recording:
        source = recording._replace(blocks=balance.watch(recording.blocks))
        waveform = np.concatenate(list(resampled(source, sample_rate_hz)))
    notes = list(recording.notes)
    if balance.cancels:
        with open_it() as again:
            waveform = np.concatenate(list(resampled(again, sample_rate_hz, balance.loudest)))
        notes.append(
            f"has channels that cancel each other, so only channel {balance.loudest} is used"
        )
    elif balance.is_suspicious:
        notes.append(
            "has channels that partly cancel each other, so their mix loses "
            f"{balance.lost_db:.0f} dB"
        )
    return MonoRecording(waveform, recording.sample_rate_hz, notes)


def read_whole(path: str | Path, sample_rate_hz: int) -> MonoRecording:
    """Reads a whole recording, mixed down and resampled, with notes about it.

    Raises:
        ValueError: the file cannot be read, is empty or cut short (as far as its format shows it),
            or holds a value that is not finite.
    """
    try:
        mono = read_mono(partial(open_recording, Path(path)), sample_rate_hz)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    require(len(mono.waveform) > 0, f"{path}: holds no audio")
    return mono


def read(path: str | Path, sample_rate_hz: int) -> Waveform:
    """Returns the samples of a whole recording; see `read_whole`."""
    return read_whole(path, sample_rate_hz).waveform


def write_loudest(source: Path, target: Path, encoding: str) -> None:
    """Writes a copy of a mono file with its peak at full scale; silence stays silence."""
    with open_recording(source) as recording:
        peak = max((float(np.abs(block).max(initial=0)) for block in recording.blocks), default=0.0)
    with (
        open_recording(source) as recording,
        sndfile.writer(target, recording.sample_rate_hz, encoding) as write_on,
    ):
        for block in recording.blocks:
            write_on(block[:, 0] / np.float32(peak or 1))


def beginning(path: Path, seconds: float) -> tuple[Waveform, int]:
    """Returns the first channel of the first seconds of a file, and the sample rate in Hz."""
    with open_recording(path) as whole:
        rate = whole.sample_rate_hz
    with open_recording(path, 0, round(seconds * rate)) as recording:
        return np.concatenate([block[:, 0] for block in recording.blocks]), rate
