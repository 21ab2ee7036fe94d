"""Recordings -> a dataset on disk.

    recordings --staging--> float32 at the dataset's rate, measured
               --silence--> the parts to keep
               --splits---> clips, dealt to train, valid and test
               --writing--> 16-bit shards

All of it happens in a hidden folder beside the output, which appears under its name when it is
whole. An interrupted preparation leaves the hidden folder, and the same command goes on from there.
"""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samplernn_jax.audio import Waveform
from samplernn_jax.data.dataset import (
    FORMAT_VERSION,
    PreparedInfo,
    info_file,
    read_info,
    recordings_file,
)
from samplernn_jax.data.preparation import health, loudness, silence, splits
from samplernn_jax.data.preparation.recordings import Found, Recording
from samplernn_jax.data.preparation.settings import BuildSettings
from samplernn_jax.data.preparation.splits import Clip
from samplernn_jax.data.preparation.staging import Progress, Staged, stage
from samplernn_jax.data.preparation.writing import Levels, write_split
from samplernn_jax.files import held, write_json

_BLOCK = 2**20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ABSURD_PEAK = 8.0  # 18 dB over full scale: no sound of floats, but integers that were not scaled


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
    with held(work, f"output={output}"):
        info = _prepare(found, work, settings, workers, progress, digest, output)
        (work / "dataset").rename(output)
        shutil.rmtree(work)
    return info


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
        shutil.rmtree(work, ignore_errors=True)
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


@dataclasses.dataclass(frozen=True)
class _Leveled:
    """A staged recording with its mean taken away and its gain applied."""

    staged: Staged
    offset: float
    gain: float

    def read(self, start: int, stop: int) -> Waveform:
        waveform = self.staged.read(start, stop)
        return (waveform - np.float32(self.offset)) * np.float32(self.gain)


def _write(
    staged: Sequence[Staged],
    rejected: list[tuple[str, str]],
    folder: Path,
    settings: BuildSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Writes all but dataset.json, and gives the part of it that is about the content."""
    staged = _without_absurd(staged, rejected)
    gains = _gains(staged, settings)
    leveled: list[_Leveled] = []
    by_recording: list[list[Clip]] = []
    kept: list[int] = []
    for number, recording in enumerate(staged):
        candidate = _Leveled(recording, _offset(recording, settings), gains[number])
        parts = _parts(candidate, settings)
        clips = list(splits.cut(len(leveled), parts, settings))
        if clips:
            leveled.append(candidate)
            by_recording.append(clips)
            kept.append(sum(stop - start for start, stop in parts))
        else:
            reason = f"is shorter than min_clip_s={settings.min_clip_s}" if parts else "is silent"
            rejected.append((recording.name, reason))
        progress("looking for silence", number + 1, len(staged))
    if not leveled:
        raise ValueError(f"no recording can be used{_among(rejected)}")
    used = [candidate.staged for candidate in leveled]
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
            lambda clip: leveled[clip.recording].read(clip.start, clip.stop),
            levels,
        )
        progress("writing", number, len(dealt))
    _write_facts(folder, leveled, dealt)
    rate = settings.sample_rate_hz
    info = {
        "split_by": split_by,
        "gain": leveled[0].gain if settings.gain_per == "dataset" else None,
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
    }
    return {**info, "warnings": health.warnings(used, info, settings)}


def _without_absurd(staged: Sequence[Staged], rejected: list[tuple[str, str]]) -> Sequence[Staged]:
    """Leaves out what would make all others silent, as the gain is of the loudest sample."""
    for recording in staged:
        peak = max(-recording.minimum, recording.maximum)
        if peak > _ABSURD_PEAK:
            rejected.append((recording.name, f"has samples of {peak:.3g}, full scale is 1"))
    return [r for r in staged if max(-r.minimum, r.maximum) <= _ABSURD_PEAK]


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


def _offset(recording: Staged, settings: BuildSettings) -> float:
    return recording.mean if settings.remove_dc else 0.0


def _peak(recording: Staged, settings: BuildSettings) -> float:
    offset = _offset(recording, settings)
    return max(abs(recording.minimum - offset), abs(recording.maximum - offset))


def _gains(staged: Sequence[Staged], settings: BuildSettings) -> list[float]:
    """The factor for each recording."""
    if settings.gain_per == "recording":
        return [_gain([recording], settings) for recording in staged]
    return [_gain(staged, settings)] * len(staged)


def _gain(group: Sequence[Staged], settings: BuildSettings) -> float:
    """The factor for recordings that share one."""
    peak = max((_peak(recording, settings) for recording in group), default=0.0)
    if settings.gain == "none" or peak < np.finfo(np.float32).tiny:
        return 1.0
    if settings.gain == "peak":
        return 1.0 / peak
    lufs = loudness.integrated(
        [loudness.block_powers(_blocks(r, settings), settings.sample_rate_hz) for r in group]
    )
    if lufs is None:  # too short or too quiet to have a loudness
        return 1.0 / peak
    return min(float(10 ** ((settings.loudness_lufs - lufs) / 20)), 1.0 / peak)


def _blocks(recording: Staged, settings: BuildSettings) -> Iterable[Waveform]:
    whole = _Leveled(recording, _offset(recording, settings), 1.0)
    for start in range(0, recording.num_samples, _BLOCK):
        yield whole.read(start, min(start + _BLOCK, recording.num_samples))


def _parts(recording: _Leveled, settings: BuildSettings) -> list[tuple[int, int]]:
    """What of a recording is to be kept."""
    num_samples = recording.staged.num_samples
    if not settings.drop_silence:
        return [(0, num_samples)]
    threshold = 10 ** (settings.silence_db / 20)
    if settings.gain_per == "recording" and _peak(recording.staged, settings) < threshold:
        return []  # its own gain would make noise of it
    return silence.sounding(
        recording.read, num_samples, settings.sample_rate_hz, threshold, settings.max_silence_s
    )


def _write_facts(folder: Path, leveled: Sequence[_Leveled], dealt: dict[str, list[Clip]]) -> None:
    where: list[set[str]] = [set() for _ in leveled]
    for split, clips in dealt.items():
        for clip in clips:
            where[clip.recording].add(split)
    with recordings_file(folder).open("w", encoding="utf-8") as stream:
        for recording, in_splits in zip(leveled, where, strict=True):
            facts = dataclasses.asdict(recording.staged)
            del facts["file"], facts["split"]
            facts |= {"gain": recording.gain, "splits": sorted(in_splits)}
            stream.write(json.dumps(facts) + "\n")
