"""Recordings -> a dataset on disk.

    recordings --staging--> float32 at the dataset's rate, measured
               --leveling-> their gains
               --silence--> the parts to keep
               --splits---> clips, dealt to train, valid and test
               --writing--> 16-bit shards

All of it happens in a hidden folder beside the output, which appears under its name when it is
whole. An interrupted preparation leaves the hidden folder, and the same command goes on from there.
"""

import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from samplernn_jax.data.dataset import FORMAT_VERSION, PreparedInfo, info_file, read_info
from samplernn_jax.preparation import facts, health, silence, splits
from samplernn_jax.preparation.leveling import Leveled, leveled
from samplernn_jax.preparation.recordings import Found, Recording
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.splits import Clip
from samplernn_jax.preparation.staging import Progress, Staged, stage
from samplernn_jax.preparation.writing import Levels, write_split
from samplernn_jax.storage import held, write_json

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def build_dataset(
    found: Found,
    output: Path,
    settings: BuildSettings,
    workers: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Makes a dataset folder.

    A recording that cannot be read is passed over and listed under "rejected"; one that ends
    before its time is taken up to there and listed under "damaged".

    Args:
        found: the recordings.
        output: folder of the dataset. Where the same dataset is already, nothing is done.
        settings: how it is made.
        workers: how many recordings are decoded at once; 0 for one on each core.
        progress: told how far the work is.

    Returns:
        The content of dataset.json.

    Raises:
        ValueError: `output` exists and is something else, no recording can be used, or a split
            would be empty.
        OSError: the disk is full, for instance; what was done so far is kept beside the output.
    """
    digest = _digest(found.recordings)
    work = output.with_name(f".{output.name}.partial")
    if output.exists() or output.is_symlink():
        info = _same_dataset(output, settings, digest)
        shutil.rmtree(work, ignore_errors=True)  # of a preparation that was killed at its very end
        return info
    if found.recordings:
        splits.held_out(len(found.recordings), [r.split for r in found.recordings], settings)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with held(work, f"output={output}"):
            info = _prepare(found, work, settings, workers, progress, digest, output)
            (work / "dataset").rename(output)
            _clear(work)
    finally:
        with contextlib.suppress(OSError):  # what was done is kept, or another process is there
            work.rmdir()
    return info


def _clear(work: Path) -> None:
    """Removes what was made in the hidden folder."""
    for part in ("staging", "dataset"):
        shutil.rmtree(work / part, ignore_errors=True)


def _prepare(
    found: Found,
    work: Path,
    settings: BuildSettings,
    workers: int,
    progress: Progress,
    digest: str,
    output: Path,
) -> dict[str, Any]:
    """Makes the dataset in the hidden folder, and gives the content of dataset.json."""
    try:
        rejected = list(found.rejected)
        staged, failed = stage(
            found.recordings, work / "staging", settings, workers or os.cpu_count() or 1, progress
        )
        rejected += failed
        dataset = work / "dataset"
        shutil.rmtree(dataset, ignore_errors=True)
        dataset.mkdir()
        info = {
            "version": FORMAT_VERSION,
            "sample_rate_hz": settings.sample_rate_hz,
            "settings": dataclasses.asdict(settings),
            "source_digest": digest,
            **_write(staged, rejected, dataset, settings, progress),
            "num_ignored": found.num_ignored,
        }
        write_json(info_file(dataset), info)
    except ValueError:
        _clear(work)
        raise
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise OSError(
            f"{output}: cannot be written ({error.strerror or error}); what was done so far is "
            f"kept in {work}, so make room and run the same command again, or remove it"
        ) from error
    return info


def _digest(recordings: Iterable[Recording]) -> str:
    """Tells whether two datasets were made of the same recordings."""
    names = sorted(f"{r.name}\n{r.fingerprint}\n{r.split}" for r in recordings)
    return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()


def _same_dataset(output: Path, settings: BuildSettings, digest: str) -> dict[str, Any]:
    if not info_file(output).exists():
        raise ValueError(f"{output}: exists already; remove it or choose another name")
    info, wanted = read_info(output, PreparedInfo), dataclasses.asdict(settings)
    for name, value in info["settings"].items():
        if value != wanted.get(name):
            raise ValueError(
                f"{output}: exists already, made with {name}={value}, not {wanted.get(name)}; "
                "remove it or choose another name"
            )
    if info["source_digest"] != digest:
        raise ValueError(
            f"{output}: exists already, made of other recordings; remove it or choose another name"
        )
    return info


def _write(
    staged: Sequence[Staged],
    rejected: list[tuple[str, str]],
    folder: Path,
    settings: BuildSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Writes all but dataset.json, and gives the part of it that is about the content."""
    candidates, gain = leveled(staged, rejected, settings)
    recordings: list[Leveled] = []
    by_recording: list[list[Clip]] = []
    kept: list[int] = []
    for number, candidate in enumerate(candidates, start=1):
        parts = _parts(candidate, settings)
        clips = list(splits.cut(len(recordings), parts, settings))
        if clips:
            recordings.append(candidate)
            by_recording.append(clips)
            kept.append(sum(stop - start for start, stop in parts))
        else:
            reason = f"is shorter than min_clip_s={settings.min_clip_s}" if parts else "is silent"
            rejected.append((candidate.staged.name, reason))
        progress("looking for silence", number, len(candidates))
    if not recordings:
        raise ValueError(f"no recording can be used{_among(rejected)}")
    used = [recording.staged for recording in recordings]
    try:
        dealt, split_by = splits.deal(by_recording, [r.split for r in used], settings)
    except ValueError as error:
        raise ValueError(f"{error}{_among(rejected)}") from error
    levels, infos = Levels(), {}
    for number, (name, clips) in enumerate(dealt.items(), start=1):
        infos[name] = write_split(
            folder,
            name,
            clips,
            lambda clip: recordings[clip.recording].read(clip.start, clip.stop),
            levels,
        )
        progress("writing", number, len(dealt))
    facts.write(folder, recordings, dealt)
    rate = settings.sample_rate_hz
    info = {
        "split_by": split_by,
        "gain": gain,
        "splits": infos,
        "audio": {
            "read_s": sum(r.num_samples for r in used) / rate,
            "silence_s": (sum(r.num_samples for r in used) - sum(kept)) / rate,
            "short_s": (sum(kept) - _covered(by_recording)) / rate,
            "clipped": sum(r.clipped * r.num_samples for r in used)
            / sum(r.num_samples for r in used),
            **levels.facts(),
        },
        "num_recordings": len(used),
        "rejected": [{"recording": name, "reason": reason} for name, reason in rejected],
        "damaged": [{"recording": r.name, "reason": r.damage} for r in used if r.damage],
        "notes": [{"recording": r.name, "note": note} for r in used for note in r.notes],
    }
    return {**info, "warnings": health.warnings(recordings, dealt, info, settings)}


def _among(rejected: Sequence[tuple[str, str]]) -> str:
    if not rejected:
        return ""
    name, reason = rejected[0]
    return f"; {len(rejected)} recordings were passed over, such as {name}: {reason}"


def _covered(by_recording: Sequence[Sequence[Clip]]) -> int:
    """Samples that are in a clip, counted once where clips overlap."""
    total = 0
    for clips in by_recording:
        end = 0
        for clip in clips:
            total += clip.stop - max(clip.start, end)
            end = clip.stop
    return total


def _parts(recording: Leveled, settings: BuildSettings) -> list[tuple[int, int]]:
    """What of a recording is to be kept."""
    num_samples = recording.staged.num_samples
    if not settings.drop_silence:
        return [(0, num_samples)]
    threshold = 10 ** (settings.silence_db / 20)
    if settings.gain_per == "recording" and recording.peak < threshold * recording.gain:
        return []  # its own gain would make noise of it
    return silence.sounding(
        recording.read, num_samples, settings.sample_rate_hz, threshold, settings.max_silence_s
    )
