"""Recordings -> a dataset on disk.

    recordings --staging--> float32 at the dataset's rate, measured
               --leveling-> the same with a gain
               --clips----> the parts that are not silent, cut into clips
               --splits---> train, valid and test
               --writing--> 16-bit shards

All of it happens in a hidden folder beside the output. The finished dataset is moved to its name in
one step. An interrupted preparation leaves the hidden folder, and the same command goes on there.
"""

import contextlib
import dataclasses
import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from samplernn_jax.checks import require
from samplernn_jax.data.dataset import FORMAT_VERSION, info_file
from samplernn_jax.preparation import facts
from samplernn_jax.preparation.clips import cut_recordings
from samplernn_jax.preparation.existing import matching_info, recordings_digest
from samplernn_jax.preparation.leveling import level_recordings
from samplernn_jax.preparation.problems import find_problems
from samplernn_jax.preparation.recordings import Found, Rejected
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.splits import assign_splits, unit_of_split
from samplernn_jax.preparation.staging import OnProgress, stage
from samplernn_jax.preparation.writing import write_splits
from samplernn_jax.storage import held, write_json

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def build_dataset(
    found: Found,
    output: Path,
    settings: BuildSettings,
    workers: int = 0,
    on_progress: OnProgress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Makes a dataset folder.

    A recording that cannot be read is passed over and listed under "rejected". One that ends early
    is used up to there and listed under "damaged".

    Args:
        found: the recordings.
        output: the folder of the dataset. If it holds the same dataset already, nothing is done.
        settings: the settings of the dataset.
        workers: the number of recordings decoded at once; 0 for one per core.
        on_progress: called whenever a part of the work is done.

    Returns:
        The content of dataset.json.

    Raises:
        ValueError: `output` exists and is something else, no recording can be used, or a split
            would be empty.
        OSError: the disk is full, for instance; the work done so far is kept beside the output.
    """
    digest = recordings_digest(found.recordings)
    work = output.with_name(f".{output.name}.partial")
    if output.exists() or output.is_symlink():
        info = matching_info(output, settings, digest)
        shutil.rmtree(work, ignore_errors=True)  # of a preparation that was killed at its very end
        return info
    if found.recordings:  # fail before decoding if that is possible
        unit_of_split(len(found.recordings), [r.split for r in found.recordings], settings)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with held(work, f"output={output}"), _cleared_on_mistakes(work, output):
            content = _write_content(found, work, settings, workers, on_progress)
            info = _description(found, settings, digest, content)
            write_json(info_file(work / "dataset"), info)
            (work / "dataset").rename(output)
            _clear(work)
    finally:
        with contextlib.suppress(OSError):  # the work is kept, or another process is there
            work.rmdir()
    return info


def _description(
    found: Found, settings: BuildSettings, digest: str, content: dict[str, Any]
) -> dict[str, Any]:
    """Returns the content of dataset.json."""
    return {
        "version": FORMAT_VERSION,
        "sample_rate_hz": settings.sample_rate_hz,
        "settings": dataclasses.asdict(settings),
        "source_digest": digest,
        **content,
        "num_ignored": found.num_ignored,
    }


def _clear(work: Path) -> None:
    """Removes the content of the hidden folder."""
    for part in ("staging", "dataset"):
        shutil.rmtree(work / part, ignore_errors=True)


@contextlib.contextmanager
def _cleared_on_mistakes(work: Path, output: Path) -> Iterator[None]:
    """Clears the hidden folder on mistakes; keeps it, with advice, where going on is of use."""
    try:
        yield
    except ValueError:
        _clear(work)
        raise
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise OSError(
            f"{output}: cannot be written ({error.strerror or error}); the work so far is kept in "
            f"{work}, so make room and run the same command again, or remove that folder"
        ) from error


def _write_content(
    found: Found, work: Path, settings: BuildSettings, workers: int, on_progress: OnProgress
) -> dict[str, Any]:
    """Writes all files but dataset.json, and returns its part that describes the content."""
    folder = work / "dataset"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    staged, unreadable = stage(
        found.recordings, work / "staging", settings, workers or os.cpu_count() or 1, on_progress
    )
    leveled = level_recordings(staged, settings)
    cut = cut_recordings(leveled.recordings, settings, on_progress)
    rejected = [*found.rejected, *unreadable, *leveled.rejected, *cut.rejected]
    require(bool(cut.recordings), f"no recording can be used{_example(rejected)}")
    given = [recording.staged.split for recording in cut.recordings]
    try:
        split = assign_splits(cut.clips, given, settings)
    except ValueError as error:
        raise ValueError(f"{error}{_example(rejected)}") from error
    written, levels = write_splits(folder, split.clips, cut.recordings, on_progress)
    facts.write(folder, cut.recordings, split.clips)
    info = {
        "split_by": split.unit,
        "gain": leveled.gain,
        "splits": written,
        "audio": cut.audio_facts(settings) | levels.facts(),
        "num_recordings": len(cut.recordings),
        **facts.remarks(cut.recordings, rejected),
    }
    return {**info, "warnings": find_problems(cut.recordings, split.clips, info, settings)}


def _example(rejected: Sequence[Rejected]) -> str:
    """Returns the end of a message if recordings were passed over."""
    if not rejected:
        return ""
    name, reason = rejected[0]
    return f"; {len(rejected)} recordings were passed over, such as {name}: {reason}"
