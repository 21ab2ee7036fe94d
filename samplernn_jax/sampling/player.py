"""Streams as bytes for a player: an endless WAV file, or samples only."""

import contextlib
import io
import os
import struct
from collections.abc import Callable

from samplernn_jax.audio import to_pcm16
from samplernn_jax.checks import require
from samplernn_jax.sampling.stream import Stream

_UNKNOWN_SIZE = 2**32 - 1
"""The size in the header of an endless WAV file."""


def play(
    stream: Stream,
    output: io.BufferedIOBase,
    has_header: bool,
    may_seek: bool,
    num_samples: int | None,
    should_stop: Callable[[], bool],
) -> int:
    """Writes a stream as 16-bit samples, its sequences as channels, until it has to stop.

    Every block is written whole. The header gives the size of the audio that follows. For an
    endless stream it gives the largest possible size, and is written again at the end of a file.

    Args:
        stream: the stream.
        output: receives a WAV file, or samples only.
        has_header: whether the output is a WAV file.
        may_seek: whether the header can be written again, see `may_rewrite`.
        num_samples: the number of samples of each channel; None without end.
        should_stop: called between blocks; True ends the stream.

    Returns:
        The number of samples written to each channel, including the last block of a closed player.

    Raises:
        ValueError: there are more sequences than a WAV file can have channels.
        OSError: the output accepts no more.
    """
    channels, rate = len(stream.numbers), stream.sample_rate_hz
    most = min(_UNKNOWN_SIZE // rate, 2**16 - 1) // 2
    require(
        channels <= most or not has_header,
        f"num_sequences={channels}: must be at most {most} in a WAV file at {rate} Hz; "
        "encoding=raw16 has no such limit",
    )
    begins_at, done = output.tell() if may_seek else 0, 0
    with contextlib.suppress(BrokenPipeError):  # the player was closed
        if has_header:
            size = _UNKNOWN_SIZE if num_samples is None else 2 * num_samples * channels
            output.write(_wav_header(channels, rate, min(size, _UNKNOWN_SIZE)))
        while done != num_samples and not should_stop():
            left = stream.block_len if num_samples is None else num_samples - done
            block = stream.take(min(stream.block_len, left))
            done += block.shape[1]
            output.write(to_pcm16(block.T).tobytes())
            output.flush()
        if has_header and may_seek:
            output.seek(begins_at)
            output.write(_wav_header(channels, rate, min(2 * done * channels, _UNKNOWN_SIZE)))
    return done


def may_rewrite(output: io.BufferedIOBase) -> bool:
    """Returns whether an output is a seekable file, and not one that only grows at its end."""
    return output.seekable() and not _appends(output)


def _appends(output: io.BufferedIOBase) -> bool:
    """Returns whether all writing goes to the end of a file."""
    try:
        import fcntl

        return bool(fcntl.fcntl(output.fileno(), fcntl.F_GETFL) & os.O_APPEND)
    except io.UnsupportedOperation:  # it is in memory
        return False
    except ImportError:  # on Windows, which has no such call
        return True


def _wav_header(channels: int, sample_rate_hz: int, data_size: int) -> bytes:
    """Returns the 44 bytes in front of 16-bit samples."""
    frame = 2 * channels
    layout = (1, channels, sample_rate_hz, sample_rate_hz * frame, frame, 16)
    riff = (b"RIFF", min(data_size + 36, _UNKNOWN_SIZE), b"WAVE")
    return struct.pack("<4sI4s4sIHHIIHH4sI", *riff, b"fmt ", 16, *layout, b"data", data_size)
