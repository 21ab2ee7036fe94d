"""Recordings in files of any format: libsndfile reads what it can, FFmpeg all others."""

import contextlib
import io
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np

from samplernn_jax.audio import containers, sndfile
from samplernn_jax.audio.stream import SAMPLE_RATES_HZ, Balance, Heard, Stream, Waveform, resampled


def extensions() -> frozenset[str]:
    """The file name endings, such as ".wav", under which recordings are looked for."""
    return sndfile.extensions() | containers.EXTENSIONS


@contextlib.contextmanager
def open_stream(path: Path, start: int = 0, num_frames: int | None = None) -> Iterator[Stream]:
    """Opens a file in any format that libsndfile or FFmpeg reads, whatever its name ends in.

    Args:
        path: the file.
        start: first frame to read. What FFmpeg reads is decoded from the front, so that frames
            are counted exactly.
        num_frames: how many to read; None for all that follow.

    Raises:
        ValueError: the file cannot be read; from the blocks, DamagedError where it is cut short.
    """
    with _open_file(path) as raw, contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(sndfile.open_stream(raw, start, num_frames))
        except sndfile.NotReadError:
            stream = stack.enter_context(containers.open_stream(raw, start, num_frames))
        if not SAMPLE_RATES_HZ[0] <= stream.sample_rate_hz <= SAMPLE_RATES_HZ[1]:
            raise ValueError(f"cannot be true: its header says {stream.sample_rate_hz} Hz")
        yield stream


def _open_file(path: Path) -> io.FileIO:
    """Opens the file itself, as the libraries would not say why they cannot."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe waits for whoever writes into it
            raise ValueError("must be a file, not a folder, pipe or device")
        if status.st_size == 0:
            raise ValueError("is empty (0 bytes)")
        return path.open("rb", buffering=0)  # both libraries and we move in it
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error


def listen(opened: Callable[[], AbstractContextManager[Stream]], sample_rate_hz: int) -> Heard:
    """Reads a whole recording, mixed down and resampled.

    Where the channels cancel each other it is read again, by the louder one.

    Args:
        opened: opens the recording.
        sample_rate_hz: rate of the result.

    Raises:
        ValueError: it cannot be read, is cut short, or holds a value that is not finite.
    """
    balance = Balance()
    with opened() as stream:
        source = stream._replace(blocks=balance.watch(stream.blocks))
        waveform = np.concatenate(list(resampled(source, sample_rate_hz)))
    notes = list(stream.notes)
    if balance.cancels:
        with opened() as again:
            waveform = np.concatenate(list(resampled(again, sample_rate_hz, balance.loudest)))
        notes.append(
            f"has channels that cancel each other, so channel {balance.loudest} alone is taken"
        )
    elif balance.is_suspicious:
        notes.append(
            f"has channels that cancel each other in part, their mix loses {balance.lost_db:.0f} dB"
        )
    return Heard(waveform, stream.sample_rate_hz, notes)


def read_whole(path: str | Path, sample_rate_hz: int) -> Heard:
    """Reads a whole recording, mixed down and resampled, with notes about it.

    Raises:
        ValueError: the file cannot be read, is empty or cut short (as far as its format tells),
            or holds a value that is not finite.
    """
    try:
        heard = listen(partial(open_stream, Path(path)), sample_rate_hz)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(heard.waveform) == 0:
        raise ValueError(f"{path}: holds no audio")
    return heard


def read(path: str | Path, sample_rate_hz: int) -> Waveform:
    """The samples of a whole recording; see `read_whole`."""
    return read_whole(path, sample_rate_hz).waveform


def write_loudest(source: Path, target: Path, encoding: str) -> None:
    """Writes a mono file again with its largest amplitude at full scale; silence stays."""
    with open_stream(source) as stream:
        peak = max((float(np.abs(block).max(initial=0)) for block in stream.blocks), default=0.0)
    with (
        open_stream(source) as stream,
        sndfile.writer(target, stream.sample_rate_hz, encoding) as write_on,
    ):
        for block in stream.blocks:
            write_on(block[:, 0] / np.float32(peak or 1))


def beginning(path: Path, seconds: float) -> tuple[Waveform, int]:
    """The first channel of the first seconds of a file, and its sample rate in Hz."""
    with open_stream(path) as whole:
        rate = whole.sample_rate_hz
    with open_stream(path, 0, round(seconds * rate)) as stream:
        return np.concatenate([block[:, 0] for block in stream.blocks]), rate
