"""Reading and writing audio: float32 in [-1, 1], piece by piece, so that memory stays flat."""

import contextlib
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

from samplernn_jax.files import replace_file

Waveform = Float32[np.ndarray, " _"]
"""[num_samples]; the axis has no name, as the pieces of a recording differ in length."""

Frames = Float32[np.ndarray, "_ _"]
"""[num_frames, channels], likewise."""

_BLOCK_FRAMES = 2**18
_READ_FRAMES = 2**12  # what is lost of a damaged file in front of the damage

# Names under which files of libsndfile's formats go besides the format's own name.
_OTHER_EXTENSIONS = frozenset({".aif", ".aifc", ".oga", ".opus", ".sph", ".wave", ".snd"})

# What libsndfile says of a WAV, AIFF or AU file whose header promises more bytes than follow;
# recorders that never learn the length promise (nearly) all that 32 bits can count.
_SHORTER_THAN_HEADER = re.compile(r"(?:data|SSND|Data Size) +: (\d+) \(should be (\d+)\)")
_LENGTH_UNKNOWN = 2**31 - 2**16
_FRAMES_UNKNOWN = 2**62

SAMPLE_RATES_HZ = 1000, 2**20
"""The lowest and the highest that a recording may have."""

ENCODINGS = {
    "wav16": ("WAV", "PCM_16"),
    "wav24": ("WAV", "PCM_24"),
    "wav_float": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
}
"""What files are written as: libsndfile's names of the format and of the samples in it."""


class DamagedError(ValueError):
    """A recording ends before its time; what came before could be read."""


class Stream(NamedTuple):
    """A recording while it is read.

    Attributes:
        sample_rate_hz: of the recording.
        num_channels: of the recording.
        blocks: its consecutive pieces; taking the next one may raise ValueError.
        num_frames: as many as the file says it holds.
        first_frame: where in the recording the pieces begin.
    """

    sample_rate_hz: int
    num_channels: int
    blocks: Iterator[Frames]
    num_frames: int = 0
    first_frame: int = 0


def extensions() -> frozenset[str]:
    """The file name endings, such as ".wav", of the formats that libsndfile reads."""
    formats = {f".{name.lower()}" for name in soundfile.available_formats()}
    return frozenset(formats - {".raw"}) | _OTHER_EXTENSIONS


@contextlib.contextmanager
def open_stream(path: Path, start: int = 0, num_frames: int | None = None) -> Iterator[Stream]:
    """Opens a file in any format that libsndfile reads, whatever its name ends in.

    Args:
        path: the file.
        start: first frame to read.
        num_frames: how many to read; None for all that follow.

    Raises:
        ValueError: the file cannot be read; from the blocks, DamagedError where it is cut short.
    """
    with _open_file(path) as raw, _decoder(raw) as file:
        if not SAMPLE_RATES_HZ[0] <= file.samplerate <= SAMPLE_RATES_HZ[1]:
            raise ValueError(f"cannot be true: its header says {file.samplerate} Hz")
        if start:
            try:
                file.seek(start)
            except soundfile.LibsndfileError as error:
                raise DamagedError(f"is damaged ({error.error_string})") from error
        blocks = _blocks(file, start, num_frames)
        yield Stream(file.samplerate, file.channels, blocks, _promised_frames(file), start)


class _SoundFile(soundfile.SoundFile):
    """A file that is read from front to back.

    soundfile seeks to where it already is after every read of a file that can be sought, which
    makes MP3 decoders forget the frame before: there is a jump at the end of every block.
    """

    def seekable(self) -> bool:
        return False


def _open_file(path: Path) -> BinaryIO:
    """Opens the file itself, as libsndfile would not say why it cannot."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe waits for whoever writes into it
            raise ValueError("must be a file, not a folder, pipe or device")
        if status.st_size == 0:
            raise ValueError("is empty (0 bytes)")
        return path.open("rb")
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error


def _decoder(raw: BinaryIO) -> _SoundFile:
    """Without a name, from which soundfile would conclude that a .raw file has no header."""
    try:
        return _SoundFile(raw.fileno(), closefd=False)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"cannot be read as audio ({error.error_string})") from error


def _promised_frames(file: soundfile.SoundFile) -> int:
    """What the header says; 0 where it does not."""
    return file.frames if file.frames < _FRAMES_UNKNOWN else 0


def _blocks(file: _SoundFile, start: int, num_frames: int | None) -> Iterator[Frames]:
    """Reads until the decoder has no more, which the header may promise for sooner or later."""
    position = start
    stop = sys.maxsize if num_frames is None else start + num_frames
    while position < stop:
        block = np.empty((min(stop - position, _BLOCK_FRAMES), file.channels), np.float32)
        num_read, error = _fill(file, block)
        position += num_read
        yield block[:num_read]
        if error is not None:
            raise DamagedError(f"is damaged ({error.error_string})") from error
        if num_read < len(block):
            break
    if position < min(stop, _promised_frames(file)):
        raise DamagedError(f"ends early, its header promises {file.frames} frames")
    shorter = _SHORTER_THAN_HEADER.search(file.extra_info)
    if position < stop and shorter and int(shorter[2]) < int(shorter[1]) < _LENGTH_UNKNOWN:
        raise DamagedError(f"ends early, its header promises {shorter[1]} bytes of audio")


def _fill(file: soundfile.SoundFile, block: Frames) -> tuple[int, soundfile.LibsndfileError | None]:
    """Reads as many frames as there are, up to the size of the block, or up to an error."""
    num_read = 0
    while num_read < len(block):
        try:
            read = file.buffer_read_into(block[num_read : num_read + _READ_FRAMES], "float32")
        except soundfile.LibsndfileError as error:
            return num_read, error
        if read == 0:
            break
        num_read += read
    return num_read, None


def resampled(stream: Stream, sample_rate_hz: int, channel: int = 0) -> Iterator[Waveform]:
    """One channel of a recording at another sample rate, piece by piece, through soxr.

    Args:
        stream: the recording.
        sample_rate_hz: rate of the result.
        channel: 1 for the first, 2 for the second, ...; 0 mixes all down to their mean.

    Raises:
        ValueError: there is no such channel, a value is not finite, or the stream's own.
    """
    if channel > stream.num_channels:
        raise ValueError(f"has {stream.num_channels} channels, so there is no channel={channel}")
    resampler = soxr.ResampleStream(stream.sample_rate_hz, sample_rate_hz, 1, dtype="float32")
    position, damage = stream.first_frame, None
    try:
        for frames in stream.blocks:
            mono = frames[:, channel - 1] if channel else frames.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                at_s = (position + int(np.isfinite(mono).argmin())) / stream.sample_rate_hz
                raise ValueError(f"holds a value that is not a finite number, at {at_s:.3f} s")
            position += len(mono)
            yield resampler.resample_chunk(np.ascontiguousarray(mono))
    except DamagedError as error:  # the resampler still holds some of what could be read
        damage = error
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if damage is not None:
        raise damage


def read(path: str | Path, sample_rate_hz: int) -> Waveform:
    """Reads a whole recording, mixed down and resampled.

    Raises:
        ValueError: the file cannot be read, is empty or cut short (as far as its format tells),
            or holds a value that is not finite.
    """
    try:
        with open_stream(Path(path)) as stream:
            waveform = np.concatenate(list(resampled(stream, sample_rate_hz)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(waveform) == 0:
        raise ValueError(f"{path}: holds no audio")
    return waveform


def write(
    path: str | Path, waveform: Waveform, sample_rate_hz: int, encoding: str = "wav16"
) -> None:
    """Writes a mono file; values outside [-1, 1] are clipped, but for "wav_float".

    Args:
        path: the file.
        waveform: float32 [num_samples].
        sample_rate_hz: its rate.
        encoding: one of `ENCODINGS`.
    """
    with writer(path, sample_rate_hz, encoding) as write_block:
        write_block(waveform)


@contextlib.contextmanager
def writer(
    path: str | Path, sample_rate_hz: int, encoding: str = "wav16"
) -> Iterator[Callable[[Waveform], None]]:
    """Yields a function that appends to a mono file, which appears when all went well.

    Raises:
        ValueError: there is no such encoding, or the file cannot be written.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding={encoding!r}: must be one of {', '.join(ENCODINGS)}")
    container, subtype = ENCODINGS[encoding]
    with replace_file(Path(path)) as partial:
        with _named(path):
            file = soundfile.SoundFile(
                partial, "w", sample_rate_hz, channels=1, format=container, subtype=subtype
            )

        def write_block(waveform: Waveform) -> None:
            with _named(path):
                file.write(waveform)

        try:
            yield write_block
        finally:
            with _named(path):
                file.close()


@contextlib.contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Names the file that libsndfile cannot write; several may be open."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: cannot be written ({error.error_string})") from error


def suffix(encoding: str) -> str:
    """What the names of such files end in, without the dot."""
    return ENCODINGS[encoding][0].lower()


def bytes_per_sample(encoding: str) -> int:
    """Of one channel; of compressed formats, what they do not exceed."""
    return {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[ENCODINGS[encoding][1]]


def write_loudest(source: Path, target: Path, encoding: str) -> None:
    """Writes a mono file again with its largest amplitude at full scale; silence stays."""
    with open_stream(source) as stream:
        peak = max((float(np.abs(block).max(initial=0)) for block in stream.blocks), default=0.0)
    with open_stream(source) as stream, writer(target, stream.sample_rate_hz, encoding) as write_on:
        for block in stream.blocks:
            write_on(block[:, 0] / np.float32(peak or 1))


def beginning(path: Path, seconds: float) -> tuple[Waveform, int]:
    """The first channel of the first seconds of a file, and its sample rate in Hz."""
    with open_stream(path) as whole:
        rate = whole.sample_rate_hz
    with open_stream(path, 0, round(seconds * rate)) as stream:
        return np.concatenate([block[:, 0] for block in stream.blocks]), rate
