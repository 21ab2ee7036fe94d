"""Reading and writing audio: mono, resampled, float32 [num_samples], nominally in [-1, 1]."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

from samplernn_jax.files import replace_file

Waveform = Float32[np.ndarray, " num_samples"]

_BLOCK_FRAMES = 2**18

# Names under which files of libsndfile's formats go besides the format's own name.
_OTHER_EXTENSIONS = frozenset({".aif", ".aifc", ".oga", ".opus", ".wave", ".snd"})


def extensions() -> frozenset[str]:
    """The file name endings, such as ".wav", of the formats that libsndfile reads."""
    formats = {f".{name.lower()}" for name in soundfile.available_formats()}
    return frozenset(formats - {".raw"}) | _OTHER_EXTENSIONS


def read_blocks(path: str | Path, sample_rate_hz: int) -> Iterator[Waveform]:
    """Reads a recording piece by piece, so that memory stays flat however long it is.

    Channels are mixed down to their mean.

    Args:
        path: a file in any format, rate and channel count that libsndfile reads.
        sample_rate_hz: rate of the result; soxr resamples where the file has another one.

    Yields:
        Consecutive pieces of the recording.

    Raises:
        ValueError: the file cannot be read, is empty, or holds values that are not finite.
    """
    num_frames = 0
    try:
        with soundfile.SoundFile(path) as file:
            resampler = soxr.ResampleStream(file.samplerate, sample_rate_hz, 1, dtype="float32")
            for block in file.blocks(_BLOCK_FRAMES, dtype="float32", always_2d=True):
                num_frames += len(block)
                mono = block.mean(axis=1, dtype=np.float32)
                if not np.isfinite(mono).all():
                    raise ValueError(f"{path}: holds values that are not finite numbers")
                yield resampler.resample_chunk(mono)
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as audio ({error})") from error
    if num_frames == 0:
        raise ValueError(f"{path}: holds no audio")


def read(path: str | Path, sample_rate_hz: int) -> Waveform:
    """Reads a whole recording; see `read_blocks`."""
    return np.concatenate(list(read_blocks(path, sample_rate_hz)))


def write(path: str | Path, waveform: Waveform, sample_rate_hz: int) -> None:
    """Writes a 16-bit mono WAV file; values outside [-1, 1] are clipped."""
    with replace_file(Path(path)) as partial:
        soundfile.write(partial, waveform, sample_rate_hz, format="WAV", subtype="PCM_16")
