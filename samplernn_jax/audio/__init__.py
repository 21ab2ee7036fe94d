"""Reading and writing audio: float32 in [-1, 1], piece by piece, so that memory stays flat."""

from samplernn_jax.audio.pcm import from_pcm16, to_pcm16, to_pcm24
from samplernn_jax.audio.reading import (
    beginning,
    extensions,
    listen,
    open_stream,
    read,
    read_whole,
    write_loudest,
)
from samplernn_jax.audio.sndfile import ENCODINGS, bytes_per_sample, suffix, write, writer
from samplernn_jax.audio.stream import (
    SAMPLE_RATES_HZ,
    SUSPICIOUS_DB,
    Balance,
    DamagedError,
    Frames,
    Heard,
    Stream,
    Waveform,
    resampled,
)

__all__ = [
    "ENCODINGS",
    "SAMPLE_RATES_HZ",
    "SUSPICIOUS_DB",
    "Balance",
    "DamagedError",
    "Frames",
    "Heard",
    "Stream",
    "Waveform",
    "beginning",
    "bytes_per_sample",
    "extensions",
    "from_pcm16",
    "listen",
    "open_stream",
    "read",
    "read_whole",
    "resampled",
    "suffix",
    "to_pcm16",
    "to_pcm24",
    "write",
    "write_loudest",
    "writer",
]
