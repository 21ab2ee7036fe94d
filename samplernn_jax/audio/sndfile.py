"""Formats that libsndfile reads and writes; this is the only module that imports soundfile."""

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from samplernn_jax.audio.pcm import to_pcm16, to_pcm24
from samplernn_jax.audio.recording import DamagedError, Frames, OpenRecording, Waveform
from samplernn_jax.checks import require
from samplernn_jax.storage import replace_file

_BLOCK_FRAMES = 2**18
_READ_FRAMES = 2**12  # frames that are lost before the damage in a file

# Usual file name endings of libsndfile's formats, beside the names of the formats.
_OTHER_EXTENSIONS = frozenset({".aif", ".aifc", ".oga", ".opus", ".sph", ".wave", ".snd"})

# libsndfile's message about a WAV, AIFF or AU file whose header promises more bytes than follow.
# Recorders that never learn the length promise nearly the largest number of 32 bits.
_SHORTER_THAN_HEADER = re.compile(r"(?:data|SSND|Data Size) +: (\d+) \(should be (\d+)\)")
_LENGTH_UNKNOWN = 2**31 - 2**16
_FRAMES_UNKNOWN = 2**62

_WAV_TAGS_OF_MPEG = (b"\x50\x00", b"\x55\x00")
_RIFF_BYTES = 12  # in front of the first chunk
_MOST_CHUNKS = 1000  # in front of the format; no program writes so many

ENCODINGS = {
    "wav16": ("WAV", "PCM_16"),
    "wav24": ("WAV", "PCM_24"),
    "wav_float": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
}
"""The formats of written files: libsndfile's names for the container and the samples."""

_SAMPLES: dict[str, Callable[[Waveform], np.ndarray]] = {
    "PCM_16": to_pcm16,
    "PCM_24": lambda waveform: to_pcm24(waveform) << 8,  # libsndfile takes the upper 24 of 32 bits
    "FLOAT": np.asarray,
}
"""The conversions of amplitudes, by libsndfile's names; libsndfile's own would round down."""


class NotReadError(ValueError):
    """Raised if libsndfile does not read a file."""


def extensions() -> frozenset[str]:
    """Returns the file name endings, such as ".wav", of the formats that libsndfile reads."""
    formats = {f".{name.lower()}" for name in soundfile.available_formats()}
    return frozenset(formats - {".raw"}) | _OTHER_EXTENSIONS


@contextlib.contextmanager
def open_recording(raw: io.FileIO, start: int, num_frames: int | None) -> Iterator[OpenRecording]:
    """Opens a file of any format that libsndfile reads, except MPEG.

    Args:
        raw: the file, at its beginning.
        start: the first frame to read.
        num_frames: the number of frames to read; None for all that follow.

    Raises:
        NotReadError: the file has another format.
        DamagedError: the file ends before `start`; the blocks raise it where the file is cut short.
    """
    if _is_mpeg(raw):
        raise NotReadError("is MPEG, whose decoder prints its complaints to the terminal")
    with _decoder(raw) as file:
        if start:
            try:
                file.seek(start)
            except soundfile.LibsndfileError as error:
                raise DamagedError(f"is damaged ({error.error_string})") from error
        blocks = _blocks(file, start, num_frames)
        yield OpenRecording(file.samplerate, file.channels, blocks, _promised_frames(file), start)


def _is_mpeg(raw: io.FileIO) -> bool:
    """Returns whether libsndfile would decode a file as MPEG: bare, after tags or in a WAV file."""
    head = raw.read(_RIFF_BYTES)
    is_mpeg = _wav_tag(raw) in _WAV_TAGS_OF_MPEG if head.startswith(b"RIFF") else _has_sync(head)
    raw.seek(0)
    return is_mpeg


def _has_sync(head: bytes) -> bool:
    return head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)


def _wav_tag(raw: io.FileIO) -> bytes:
    """Returns the code of a WAV file's encoding; reads chunks from the current position."""
    for _ in range(_MOST_CHUNKS):
        name, size = raw.read(4), int.from_bytes(raw.read(4), "little")
        if name == b"fmt ":
            return raw.read(2)
        raw.seek(size + size % 2, io.SEEK_CUR)
    return b""


class _SoundFile(soundfile.SoundFile):
    """A file that is read from beginning to end.

    After every read of a seekable file, soundfile seeks to the current position. That makes MP3
    decoders forget the previous frame, which causes a click at the end of every block.
    """

    def seekable(self) -> bool:
        return False


def _decoder(raw: io.FileIO) -> _SoundFile:
    """Opens the file without its name, as soundfile expects no header in a .raw file."""
    try:
        return _SoundFile(raw.fileno(), closefd=False)
    except soundfile.LibsndfileError as error:
        raise NotReadError(error.error_string) from error


def _promised_frames(file: soundfile.SoundFile) -> int:
    """Returns the number of frames in the header; 0 if it gives none."""
    return file.frames if file.frames < _FRAMES_UNKNOWN else 0


def _blocks(file: _SoundFile, start: int, num_frames: int | None) -> Iterator[Frames]:
    """Yields blocks until the decoder's end, which may be before or after the promised end."""
    position = start
    stop = sys.maxsize if num_frames is None else start + num_frames
    while position < stop:
        block = np.empty((min(stop - position, _BLOCK_FRAMES), file.channels), np.float32)
        num_read, error = _fill(file, block)
        position += num_read
        yield block[:num_read]
        if error is not None:
            at_s = position / file.samplerate
            raise DamagedError(f"is damaged after {at_s:.1f} s ({error.error_string})") from error
        if num_read < len(block):
            break
    if position < min(stop, _promised_frames(file)):
        raise DamagedError(f"ends early; its header promises {file.frames} frames")
    shorter = _SHORTER_THAN_HEADER.search(file.extra_info)
    if position < stop and shorter and int(shorter[2]) < int(shorter[1]) < _LENGTH_UNKNOWN:
        raise DamagedError(f"ends early; its header promises {shorter[1]} bytes of audio")


def _fill(file: soundfile.SoundFile, block: Frames) -> tuple[int, soundfile.LibsndfileError | None]:
    """Fills the block up to the end of the file, or up to an error."""
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


def write(
    path: str | Path, waveform: Waveform, sample_rate_hz: int, encoding: str = "wav16"
) -> None:
    """Writes a mono file; values outside [-1, 1] are clipped, except for "wav_float".

    Args:
        path: the file.
        waveform: float32 [num_samples].
        sample_rate_hz: the sample rate.
        encoding: one of `ENCODINGS`.
    """
    with writer(path, sample_rate_hz, encoding) as write_block:
        write_block(waveform)


@contextlib.contextmanager
def writer(
    path: str | Path, sample_rate_hz: int, encoding: str = "wav16"
) -> Iterator[Callable[[Waveform], None]]:
    """Yields a function that appends to a mono file, which appears on success.

    Raises:
        ValueError: there is no such encoding, or the file cannot be written.
    """
    known = ", ".join(ENCODINGS)
    require(encoding in ENCODINGS, f"encoding={encoding!r}: must be one of {known}")
    container, subtype = ENCODINGS[encoding]
    with replace_file(Path(path)) as partial:
        with _named(path):
            file = soundfile.SoundFile(
                partial, "w", sample_rate_hz, channels=1, format=container, subtype=subtype
            )

        def write_block(waveform: Waveform) -> None:
            with _named(path):
                file.write(_SAMPLES[subtype](waveform))

        try:
            yield write_block
        finally:
            with _named(path):
                file.close()


@contextlib.contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Names the file in errors of libsndfile; several may be open."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: cannot be written ({error.error_string})") from error


def suffix(encoding: str) -> str:
    """Returns the file name ending of an encoding, without the dot."""
    return ENCODINGS[encoding][0].lower()


def bytes_per_sample(encoding: str) -> int:
    """Returns the bytes of a sample of one channel; an upper limit for compressed formats."""
    return {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[ENCODINGS[encoding][1]]
