"""Generated sequences as files."""

import contextlib
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from samplernn_jax import audio, plots
from samplernn_jax.checks import require
from samplernn_jax.sampling.stream import Stream
from samplernn_jax.units import clock_time, describe_bytes, describe_duration

_PICTURE_S = 60.0
"""The length in seconds of the part of a file that is drawn."""

EXACT = "wav_float"
"""The encoding of files that `normalize` writes anew, see `audio.ENCODINGS`."""

_OTHER_FILES = 128
"""The number of files that a process keeps open beside the audio that it writes."""

_LARGEST_WAV = 2**32 - 2**12
"""The largest number of bytes in a WAV file, which counts them in 32 bits."""


def write_sequences(
    folder: Path, sequences: np.ndarray, sample_rate_hz: int, prefix: str
) -> list[Path]:
    """Writes each sequence as PREFIX_NUMBER.wav with its spectrogram beside it as .png.

    Args:
        folder: made if needed.
        sequences: float32 [num_sequences, num_samples].
        sample_rate_hz: the sample rate of the sequences.
        prefix: the beginning of the file names.

    Returns:
        The WAV files.
    """
    paths = [folder / f"{prefix}_{number}.wav" for number in range(len(sequences))]
    for path, waveform in zip(paths, sequences, strict=True):
        audio.write(path, waveform, sample_rate_hz)
        plots.spectrogram(path.with_suffix(".png"), waveform, sample_rate_hz, title=path.stem)
    return paths


class WrittenSequence(NamedTuple):
    """A generated sequence in a file.

    Attributes:
        number: the number of the sequence.
        path: the file.
        bits_per_sample: the mean over all generated samples.
        bits_over_time: the mean over each block.
    """

    number: int
    path: Path
    bits_per_sample: float
    bits_over_time: tuple[float, ...]


def check_num_files(num_sequences: int, num_processes: int) -> None:
    """Raises ValueError if a process cannot have all its files open at once, as `write` does."""
    limit = _most_open_files()
    most = (limit - _OTHER_FILES) * num_processes
    require(
        num_sequences <= most,
        f"num_sequences={num_sequences}: must be at most {most}, as a process keeps all its files "
        f"open at once, and may open {limit} (ulimit -n)",
    )


def _most_open_files() -> float | int:
    """Returns the number of files that a process may have open at once."""
    try:
        import resource
    except ImportError:  # on Windows, which has other limits
        return math.inf
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if limit == resource.RLIM_INFINITY else limit


def check_size(
    folder: Path, num_sequences: int, num_samples: int, rate: int, encoding: str, normalize: bool
) -> str:
    """Returns the amount of audio to be written in words, such as "4 x 5 s (625 KiB)".

    Args:
        folder: the folder of the files; need not exist.
        num_sequences: the number of files.
        num_samples: the number of samples of each, prompt included.
        rate: their sample rate in Hz.
        encoding: see `audio.ENCODINGS`.
        normalize: whether `normalize` writes the files, from others in the encoding `EXACT`.

    Raises:
        ValueError: the audio does not fit into a WAV file or on the disk.
    """
    size = num_samples * audio.bytes_per_sample(encoding)
    exact = num_samples * audio.bytes_per_sample(EXACT) if normalize else 0
    total = num_sequences * size
    told = f"{num_sequences} x {describe_duration(num_samples / rate)} ({describe_bytes(total)})"
    limit = f"a WAV file holds at most {describe_bytes(_LARGEST_WAV)}"
    require(
        size <= _LARGEST_WAV or encoding == "flac",
        f"duration_s: {told} is too long; {limit}. Choose a shorter duration or encoding=flac",
    )
    require(
        exact <= _LARGEST_WAV,
        f"normalize: {told} is too long; each {EXACT} file in between takes "
        f"{describe_bytes(exact)}, and {limit}",
    )
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    require(
        max(total, num_sequences * exact + size) < free,
        f"duration_s: {told} at {rate} Hz does not fit; {existing} has {describe_bytes(free)} free",
    )
    return told


def write(
    stream: Stream,
    folder: Path,
    num_samples: int,
    encoding: str,
    keep_prompt: bool,
    after_block: Callable[[int], None],
) -> list[WrittenSequence]:
    """Writes the beginning of a stream, one file for each sequence, in constant memory.

    Args:
        stream: not yet begun.
        folder: an existing one; each file is named after the number of its sequence.
        num_samples: the number of samples of each sequence, without the prompt.
        encoding: see `audio.ENCODINGS`.
        keep_prompt: begin each file with its prompt.
        after_block: called after each block with its number of samples.
    """
    paths = [folder / f"{number}.{audio.suffix(encoding)}" for number in stream.numbers]
    over_time: list[np.ndarray] = []
    total = np.zeros(len(stream.numbers))
    with contextlib.ExitStack() as files:
        writers = [
            files.enter_context(audio.writer(path, stream.sample_rate_hz, encoding))
            for path in paths
        ]
        if keep_prompt:
            for write_block, heard in zip(writers, stream.prompts, strict=True):
                write_block(heard)
        for block in stream.blocks(num_samples):
            for write_block, waveform in zip(writers, block, strict=True):
                write_block(waveform)
            bits = stream.bits.sum(axis=1, dtype=np.float64)
            over_time.append(bits / block.shape[1])
            total += bits
            after_block(block.shape[1])
    return [
        WrittenSequence(
            int(number),
            path,
            float(total[row] / num_samples),
            tuple(float(means[row]) for means in over_time),
        )
        for row, (number, path) in enumerate(zip(stream.numbers, paths, strict=True))
    ]


def normalize(sequence: WrittenSequence, encoding: str) -> WrittenSequence:
    """Writes a sequence anew, with its peak at full scale, and deletes the old file."""
    old = sequence.path
    path = old.with_name(f"normalized_{old.stem}.{audio.suffix(encoding)}")
    audio.write_loudest(old, path, encoding)
    old.unlink()
    return sequence._replace(path=path)


def draw(path: Path) -> None:
    """Draws the spectrogram of the first minute beside the file."""
    waveform, sample_rate_hz = audio.beginning(path, _PICTURE_S)
    plots.spectrogram(path.with_suffix(".png"), waveform, sample_rate_hz, title=path.stem)


@contextlib.contextmanager
def progress(num_samples: int, sample_rate_hz: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar with the real-time factor; without a terminal, a line once it is known."""
    layout = "{l_bar}{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}{postfix}]"
    began, blocks, done = time.monotonic(), 0, 0
    with tqdm(total=num_samples / sample_rate_hz, bar_format=layout, disable=None) as bar:

        def advance(length: int) -> None:
            nonlocal began, blocks, done
            bar.update(length / sample_rate_hz)
            blocks += 1
            if blocks == 1:  # which waited for the compiler
                began = time.monotonic()
                return
            done += length
            factor = done / sample_rate_hz / (time.monotonic() - began)
            bar.set_postfix_str(f"{factor:.3g} times real time")
            if blocks == 2 and bar.disable:
                seconds = num_samples / sample_rate_hz / factor
                print(
                    f"At {factor:.3g} times real time, generating takes {clock_time(seconds)}.",
                    file=sys.stderr,
                )

        yield advance
