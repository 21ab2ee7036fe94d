"""Generated sequences as files, and as a stream of bytes for a player."""

import contextlib
import glob
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

import numpy as np
from tqdm import tqdm
from typing_extensions import TypedDict

from samplernn_jax import audio, plots
from samplernn_jax.checks import require
from samplernn_jax.sampling.strategies import Strategy
from samplernn_jax.sampling.stream import Stream
from samplernn_jax.storage import read_json
from samplernn_jax.units import clock_time, describe_bytes, describe_duration

_PICTURE_S = 60.0
"""So much of the beginning is drawn."""

EXACT = "wav_float"
"""The encoding of what is going to be written again, see `audio.ENCODINGS`."""

_LONGEST_STEM = 32
"""So many characters of a prompt's name go into the names of its continuations."""

_OTHER_FILES = 128
"""Room for what a process has open beside the audio that it writes."""

_LARGEST_WAV = 2**32 - 2**12
"""Bytes of audio; a WAV file counts them in 32 bits."""


def write_sequences(
    folder: Path, sequences: np.ndarray, sample_rate_hz: int, prefix: str
) -> list[Path]:
    """Writes each sequence as PREFIX_NUMBER.wav with its spectrogram beside it as .png.

    Args:
        folder: made if needed.
        sequences: float32 [num_sequences, num_samples].
        sample_rate_hz: of the sequences.
        prefix: of the file names.

    Returns:
        The WAV files.
    """
    paths = [folder / f"{prefix}_{number}.wav" for number in range(len(sequences))]
    for path, waveform in zip(paths, sequences, strict=True):
        audio.write(path, waveform, sample_rate_hz)
        plots.spectrogram(path.with_suffix(".png"), waveform, sample_rate_hz, title=path.stem)
    return paths


class Take(NamedTuple):
    """A sequence that was recorded.

    Attributes:
        number: of the sequence.
        path: the file.
        bits_per_sample: of all samples that were generated.
        bits_over_time: of those of each block.
    """

    number: int
    path: Path
    bits_per_sample: float
    bits_over_time: tuple[float, ...]


def check_num_files(num_sequences: int, num_processes: int) -> None:
    """Raises ValueError where `record` could not have so many files open in each process."""
    limit = _most_open_files()
    most = (limit - _OTHER_FILES) * num_processes
    require(
        num_sequences <= most,
        f"num_sequences={num_sequences}: must be at most {most}, as a process has all of its files "
        f"open at once and {limit} may be (ulimit -n)",
    )


def _most_open_files() -> float | int:
    """How many files a process may have open at once."""
    try:
        import resource
    except ImportError:  # on Windows, which has other limits
        return math.inf
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if limit == resource.RLIM_INFINITY else limit


def check_size(
    folder: Path, num_sequences: int, num_samples: int, rate: int, encoding: str, normalize: bool
) -> str:
    """Says how much is going to be written.

    Args:
        folder: where; need not exist.
        num_sequences: how many files.
        num_samples: of each, prompt included.
        rate: their sample rate in Hz.
        encoding: see `audio.ENCODINGS`.
        normalize: whether `normalize` is going to write them, from files in `EXACT`.

    Raises:
        ValueError: it does not fit into a WAV file or on the disk.
    """
    size = num_samples * audio.bytes_per_sample(encoding)
    exact = num_samples * audio.bytes_per_sample(EXACT) if normalize else 0
    total = num_sequences * size
    told = f"{num_sequences} x {describe_duration(num_samples / rate)} ({describe_bytes(total)})"
    limit = f"a WAV file holds {describe_bytes(_LARGEST_WAV)}"
    require(
        size <= _LARGEST_WAV or encoding == "flac",
        f"duration_s: {told} is too long, {limit}; ask for less, or for encoding=flac",
    )
    require(
        exact <= _LARGEST_WAV,
        f"normalize: {told} is too long, {limit} of {describe_bytes(exact)} in {EXACT} in between",
    )
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    require(
        max(total, num_sequences * exact + size) < free,
        f"duration_s: {told} at {rate} Hz has no room, {existing} has {describe_bytes(free)} free",
    )
    return told


class _ModelInfo(TypedDict):
    """What it tells of a model that the model's sum does not depend on."""

    matmul_precision: NotRequired[str]


class _How(TypedDict):
    """What tells how files were made."""

    flags: dict[str, Any]
    model: NotRequired[_ModelInfo]
    model_sha256: str
    settings: dict[str, Any]
    prompts: dict[str, Any]


def check_replaceable(
    path_of_how: Path, how: dict[str, Any], names: Iterable[str], of_no_consequence: Set[str]
) -> None:
    """Lets files be replaced only by what was made in the same way.

    Args:
        path_of_how: JSON file that tells how the files beside it were made; need not exist.
        how: what is going to be written into it: "flags", "model_sha256", "model", "settings",
            "prompts".
        names: of the files that are going to be beside it, but for their ranks.
        of_no_consequence: flags in which it may differ.

    Raises:
        ValueError: what is there was made in another way, or nothing tells how.
    """
    if not path_of_how.exists():
        for name in names:
            for path in path_of_how.parent.glob(f"*{glob.escape(name)}"):
                raise ValueError(f"{path}: is there already; choose another output or seed")
        return
    try:
        before = read_json(path_of_how, _How)
    except ValueError as error:
        raise ValueError(
            f"{path_of_how}: is in the way and does not tell how files were made; choose another "
            "output or seed"
        ) from error
    differing = [
        name
        for name in sorted({*before["flags"], *how["flags"]} - of_no_consequence)
        if before["flags"].get(name) != how["flags"].get(name)
    ] or [name for name in ("model_sha256", "settings", "prompts") if before[name] != how[name]]
    if _precision(before) != _precision(how):
        differing.append("model.matmul_precision")
    require(
        not differing,
        f"{path_of_how}: is of files with the same names, which were made with another "
        f"{' and '.join(differing)}; choose another output or seed",
    )


def _precision(how: Mapping[str, Any]) -> str:
    """Of the products; there was one only, before files told of it."""
    return how.get("model", {}).get("matmul_precision", "highest")


def record(
    stream: Stream,
    folder: Path,
    num_samples: int,
    encoding: str,
    keep_prompt: bool,
    after_block: Callable[[int], None],
) -> list[Take]:
    """Writes the beginning of a stream as one file for each sequence, in constant memory.

    Args:
        stream: not yet begun.
        folder: an existing one; the files are called by the number of the sequence.
        num_samples: of each sequence, without the prompt.
        encoding: see `audio.ENCODINGS`.
        keep_prompt: begin with what the sequence continues.
        after_block: told how many samples of each sequence a block has.
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
        Take(
            int(number),
            path,
            float(total[row] / num_samples),
            tuple(float(means[row]) for means in over_time),
        )
        for row, (number, path) in enumerate(zip(stream.numbers, paths, strict=True))
    ]


def prefix(step: int | None, settings: Strategy, prompts: Sequence[Path], seed: int) -> str:
    """What files are called after.

    Args:
        step: of the checkpoint.
        settings: the `Points` of each; a range stands for those that differ or change.
        prompts: the files that are continued; of several their number is told.
        seed: of the random numbers.
    """
    parts = [f"step_{step}"]
    for name, points in settings._asdict().items():
        if points is not None:
            low, high = float(points.values.min()), float(points.values.max())
            parts.append(f"{name}_{low:g}" + (f"-{high:g}" if high > low else ""))
    if len(set(prompts)) == 1:
        parts.append(f"after_{prompts[0].stem[:_LONGEST_STEM]}")
    elif prompts:
        parts.append(f"after_{len(set(prompts))}_prompts")
    return "_".join([*parts, f"seed_{seed}"])


def normalize(take: Take, encoding: str) -> Take:
    """Writes a take anew, with its largest amplitude at full scale, and deletes the old file."""
    path = take.path.with_name(f"normalized_{take.path.stem}.{audio.suffix(encoding)}")
    audio.write_loudest(take.path, path, encoding)
    take.path.unlink()
    return take._replace(path=path)


def draw(path: Path) -> None:
    """Draws the spectrogram of the first minute beside the file."""
    waveform, sample_rate_hz = audio.beginning(path, _PICTURE_S)
    plots.spectrogram(path.with_suffix(".png"), waveform, sample_rate_hz, title=path.stem)


@contextlib.contextmanager
def progress(num_samples: int, sample_rate_hz: int) -> Iterator[Callable[[int], None]]:
    """A bar with the real-time factor; without a terminal, a line once it is known."""
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
                    f"At {factor:.3g} times real time it takes {clock_time(seconds)}.",
                    file=sys.stderr,
                )

        yield advance
