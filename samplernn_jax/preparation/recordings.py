"""Recordings in files, folders and lists."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

from samplernn_jax import audio
from samplernn_jax.checks import require
from samplernn_jax.data.dataset import SPLITS

_SPLIT_FOLDERS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}


class Recording(NamedTuple):
    """A source of audio.

    Attributes:
        name: its path relative to the input; unique among the recordings of a dataset.
        open: opens it for reading; may raise ValueError.
        fingerprint: a text that changes when the recording does; empty if that cannot be known.
        split: the split, "train", "valid" or "test", if given.
    """

    name: str
    open: audio.Opener
    fingerprint: str = ""
    split: str | None = None


class Rejected(NamedTuple):
    """A recording that is passed over.

    Attributes:
        name: the name of the recording.
        reason: the end of a sentence that begins with the name, such as "is silent".
    """

    name: str
    reason: str


class Found(NamedTuple):
    """The recordings of an input.

    Attributes:
        recordings: the recordings, sorted by name.
        rejected: the files and folders that look like audio but cannot be read.
        num_ignored: the number of files that do not look like audio.
    """

    recordings: Sequence[Recording]
    rejected: Sequence[Rejected] = ()
    num_ignored: int = 0


def of_waveform(name: str, waveform: audio.Waveform, sample_rate_hz: int) -> Recording:
    """Returns a recording that is in memory."""
    blocks = [waveform[:, None]]
    return Recording(
        name, lambda: nullcontext(audio.OpenRecording(sample_rate_hz, 1, iter(blocks)))
    )


def of_file(name: str, path: Path, split: str | None = None) -> Recording:
    """Returns a recording that is in a file.

    Raises:
        OSError: there is no such file.
        ValueError: the path is not a regular file.
    """
    status = path.stat()
    require(stat.S_ISREG(status.st_mode), "it is a device or pipe, not a file")
    fingerprint = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    return Recording(name, partial(audio.open_recording, path), fingerprint, split)


def find(inputs: Sequence[Path], leave_out: Path) -> Found:
    """Returns the recordings of files, folders and lists.

    Folders are searched to any depth, also through symbolic links; each file is used once. A list
    is a text file, .txt or .m3u, with one path per line, relative to the list.

    Args:
        inputs: the files, folders and lists.
        leave_out: a folder that is not searched, such as the output.

    Raises:
        ValueError: an input does not exist, or none of them holds a recording.
    """
    recordings: dict[Path, Recording] = {}  # by resolved path
    rejected: list[Rejected] = []
    num_ignored = 0
    for given in inputs:
        prefix = f"{given.resolve().name}/" if len(inputs) > 1 and given.is_dir() else ""
        for name, path, explicit in _files(given, leave_out.resolve(), rejected):
            if not (explicit or path.suffix.lower() in audio.extensions()):
                num_ignored += 1
                continue
            try:
                recordings.setdefault(path.resolve(), of_file(prefix + name, path))
            except (OSError, RuntimeError, ValueError) as error:
                rejected.append(Rejected(prefix + name, f"cannot be read ({error})"))
    example = f"; passed over {rejected[0].name}: {rejected[0].reason}" if rejected else ""
    require(
        bool(recordings),
        f"input={', '.join(map(str, inputs))}: holds no audio file (such as .wav, .flac, .mp3, "
        f".m4a or .mp4){example}",
    )
    return Found(_with_unique_names(recordings.values()), rejected, num_ignored)


def _files(
    given: Path, leave_out: Path, rejected: list[Rejected]
) -> Iterator[tuple[str, Path, bool]]:
    """Yields name and path of every file of an input, and whether the user named the file."""
    if given.is_dir():
        for path in _walk(given, leave_out, rejected):
            yield path.relative_to(given).as_posix(), path, False
    elif given.suffix.lower() in (".txt", ".m3u", ".m3u8") and given.is_file():
        for line in _lines(given):
            yield line, given.parent / line, True
    elif given.exists():
        yield given.name, given, True
    else:
        raise ValueError(f"input={given}: must be an existing file, folder or list of files")


def _walk(folder: Path, leave_out: Path, rejected: list[Rejected]) -> Iterator[Path]:
    """Yields every file below a folder except hidden ones; a loop of links is walked once."""

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(folder).as_posix()
        rejected.append(Rejected(name, f"folder cannot be read ({error.strerror})"))

    seen = {leave_out}
    for at, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        if (real := Path(at).resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(at, name)
            if not name.startswith(".") and (path.is_file() or path.is_symlink()):
                yield path


def _lines(file: Path) -> list[str]:
    """Returns the lines of a text file except empty ones and comments.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read as a list of files ({error})") from error
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:  # an .m3u file from before UTF-8
        lines = content.decode("latin-1").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _with_unique_names(recordings: Iterable[Recording]) -> list[Recording]:
    """Returns recordings sorted by name; of equal names, the second becomes "name (2)"."""
    counts: dict[str, int] = {}
    unique = []
    for recording in sorted(recordings, key=lambda r: (r.name, r.fingerprint)):
        counts[recording.name] = count = counts.get(recording.name, 0) + 1
        name = recording.name if count == 1 else f"{recording.name} ({count})"
        unique.append(recording._replace(name=name))
    return unique


def split_by_folder(recordings: Sequence[Recording]) -> list[Recording]:
    """Returns the recordings with the split named by their first folder.

    Raises:
        ValueError: a recording is not in a folder train, valid, validation or test.
    """
    split = []
    for recording in recordings:
        folders = recording.name.split("/")[:-1][:2]  # the first may be the input itself
        named = [_SPLIT_FOLDERS[folder] for folder in folders if folder in _SPLIT_FOLDERS]
        require(
            bool(named),
            f"split_by=folder: {recording.name} must be in one of the folders "
            f"{', '.join(_SPLIT_FOLDERS)} of the input",
        )
        split.append(recording._replace(split=named[0]))
    return split


def split_by_lists(recordings: Sequence[Recording], lists: dict[str, Path]) -> list[Recording]:
    """Returns the recordings with the split of the list that names them, all others in "train".

    Args:
        recordings: all recordings.
        lists: text files for the splits valid and test, with one recording's name per line.

    Raises:
        ValueError: a list cannot be read, or names a recording that is missing or on both lists.
    """
    splits: dict[str, str] = {}
    names = {recording.name for recording in recordings}
    for split in SPLITS[1:]:
        for line in _lines(lists[split]):
            require(line in names, f"{lists[split]}: names {line!r}, which is not in the input")
            only_here = splits.setdefault(line, split) == split
            require(only_here, f"{lists[split]}: names {line!r}, which is on both lists")
    return [r._replace(split=splits.get(r.name, "train")) for r in recordings]
