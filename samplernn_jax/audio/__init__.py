"""Reading and writing audio: float32 in [-1, 1], block by block, in constant memory."""

from samplernn_jax.audio.pcm import from_pcm16, to_pcm16, to_pcm24
from samplernn_jax.audio.reading import (
    beginning,
    extensions,
    open_recording,
    read,
    read_mono,
    read_whole,
    write_loudest,
)
from samplernn_jax.audio.recording import (
    SAMPLE_RATES_HZ,
    SUSPICIOUS_DB,
    Balance,
    DamagedError,
    Frames,
    MonoRecording,
    Opener,
    OpenRecording,
    Waveform,
    resampled,
)
from samplernn_jax.audio.sndfile import ENCODINGS, bytes_per_sample, suffix, write, writer
from samplernn_jax.audio.spectrum import power_spectrogram

__all__ = [
    "ENCODINGS",
    "SAMPLE_RATES_HZ",
    "SUSPICIOUS_DB",
    "Balance",
    "DamagedError",
    "Frames",
    "MonoRecording",
    "OpenRecording",
    "Opener",
    "Waveform",
    "beginning",
    "bytes_per_sample",
    "extensions",
    "from_pcm16",
    "open_recording",
    "power_spectrogram",
    "read",
    "read_mono",
    "read_whole",
    "resampled",
    "suffix",
    "to_pcm16",
    "to_pcm24",
    "write",
    "write_loudest",
    "writer",
]
