"""Recordings -> a dataset on disk.

Every recording is first decoded to float32 in a staging folder, because the gain is one number
for the whole dataset and known only when all have been heard: loud and quiet recordings keep
their relation. Then the clips are cut and written split by split. The dataset appears under its
name when it is whole.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samplernn_jax import audio
from samplernn_jax.data.dataset import (
    FORMAT_VERSION,
    SPLITS,
    info_file,
    lengths_file,
    samples_file,
)
from samplernn_jax.files import new_folder, write_json

# With fewer recordings than this a split by recording would hold out one or two odd ones.
_MIN_RECORDINGS_FOR_SPLIT = 10


@dataclasses.dataclass(frozen=True)
class BuildSettings:
    """How a dataset is made.

    Attributes:
        sample_rate_hz: everything is resampled to this rate.
        clip_s: length of a clip in seconds; the last clip of a recording is shorter.
        held_out: fraction of the audio that goes to each of the splits valid and test.
        seed: of the random choice of what is held out.
    """

    sample_rate_hz: int = 16_000
    clip_s: float = 8.0
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, valid, rule in (
            ("sample_rate", 1000 <= self.sample_rate_hz <= 192_000, "from 1000 to 192000"),
            ("clip_s", 0 < self.clip_s <= 3600, "greater than 0 and at most 3600"),
            ("held_out", 0 < self.held_out < 0.5, "between 0 and 0.5"),
            ("seed", self.seed >= 0, "at least 0"),
        ):
            if not valid:
                value = getattr(self, "sample_rate_hz" if name == "sample_rate" else name)
                raise ValueError(f"{name}={value}: must be {rule}")

    @property
    def clip_len(self) -> int:
        """Samples of a clip."""
        return max(1, round(self.clip_s * self.sample_rate_hz))


class Recording(NamedTuple):
    """A name, and the audio in consecutive pieces; iterating may raise ValueError."""

    name: str
    blocks: Iterable[audio.Waveform]


class _Staged(NamedTuple):
    """A recording decoded to float32 in the staging folder."""

    name: str
    file: Path
    num_samples: int
    peak: float


class _Clip(NamedTuple):
    recording: int
    start: int
    stop: int


def find_recordings(folder: Path, sample_rate_hz: int) -> list[Recording]:
    """All audio files below a folder, sorted by path; hidden files are passed over.

    Raises:
        ValueError: no such folder, or no audio file in it.
    """
    if not folder.is_dir():
        raise ValueError(f"input={folder}: must be an existing folder of recordings")
    known = audio.extensions()
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in known and not path.name.startswith(".") and path.is_file()
    )
    if not files:
        raise ValueError(
            f"input={folder}: holds no audio file (such as .wav, .flac, .ogg, .mp3 or .aiff)"
        )
    return [
        Recording(str(path.relative_to(folder)), audio.read_blocks(path, sample_rate_hz))
        for path in files
    ]


def build_dataset(
    recordings: Iterable[Recording], output: Path, settings: BuildSettings
) -> dict[str, Any]:
    """Makes a dataset folder.

    A recording that cannot be read is passed over and listed under "rejected".

    Returns:
        The content of dataset.json.

    Raises:
        ValueError: `output` exists, no recording can be read, all are silent, or there are too
            few clips for three splits.
    """
    with new_folder(output) as folder:
        staging = folder / "staging"
        staging.mkdir()
        staged, rejected = _stage_all(recordings, staging)
        gain = 1.0 / max(recording.peak for recording in staged)
        splits, split_by = _split_clips(staged, settings)
        info = {
            "version": FORMAT_VERSION,
            "sample_rate_hz": settings.sample_rate_hz,
            "clip_s": settings.clip_s,
            "held_out": settings.held_out,
            "seed": settings.seed,
            "gain": gain,
            "split_by": split_by,
            "splits": {
                name: _write_split(folder, name, clips, staged, gain)
                for name, clips in zip(SPLITS, splits, strict=True)
            },
            "rejected": rejected,
        }
        for recording in staged:
            recording.file.unlink()
        staging.rmdir()
        write_json(info_file(folder), info)
    return info


def _stage_all(
    recordings: Iterable[Recording], staging: Path
) -> tuple[list[_Staged], list[dict[str, str]]]:
    staged, rejected = [], []
    for number, recording in enumerate(recordings):
        try:
            staged.append(_stage(recording, staging / f"{number}.f32"))
        except ValueError as error:
            rejected.append({"recording": recording.name, "reason": str(error)})
    if not staged:
        reasons = rejected[0]["reason"] if rejected else "there is none"
        raise ValueError(f"none of {len(rejected)} recordings can be used: {reasons}")
    if max(recording.peak for recording in staged) == 0:
        raise ValueError(f"all {len(staged)} recordings are silent: nothing to learn from")
    return staged, rejected


def _stage(recording: Recording, file: Path) -> _Staged:
    num_samples, peak = 0, 0.0
    try:
        with file.open("wb") as stream:
            for block in recording.blocks:
                stream.write(block.astype("<f4").tobytes())
                num_samples += len(block)
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
    except ValueError:
        file.unlink()
        raise
    if num_samples == 0:
        file.unlink()
        raise ValueError(f"{recording.name}: holds no audio")
    return _Staged(recording.name, file, num_samples, peak)


def _split_clips(
    staged: Sequence[_Staged], settings: BuildSettings
) -> tuple[list[list[_Clip]], str]:
    """The clips of train, valid and test, and whether recordings or clips were held out.

    Whole recordings are held out where there are enough, so that nothing of a recording that is
    trained on is in the other splits.
    """
    by_recording = [list(_clips(i, r.num_samples, settings.clip_len)) for i, r in enumerate(staged)]
    if len(staged) >= _MIN_RECORDINGS_FOR_SPLIT:
        groups, split_by = by_recording, "recording"
    else:
        groups, split_by = [[clip] for clips in by_recording for clip in clips], "clip"
    if len(groups) < len(SPLITS):
        raise ValueError(
            f"clip_s={settings.clip_s}: gives {len(groups)} clips, fewer than one for each of "
            f"{', '.join(SPLITS)}; use shorter clips or more audio"
        )
    total = sum(recording.num_samples for recording in staged)
    quota = settings.held_out * total
    order = np.random.default_rng(settings.seed).permutation(len(groups)).tolist()
    # What is longer than twice the quota is taken last, so it is trained on.
    order.sort(key=lambda number: _num_samples(groups[number]) <= 2 * quota)
    valid = list(_take(groups, order, quota, leave=2))
    test = list(_take(groups, order, quota, leave=1))
    train = [clip for number in order for clip in groups[number]]
    return [sorted(train), sorted(valid), sorted(test)], split_by


def _take(groups: list[list[_Clip]], order: list[int], quota: float, leave: int) -> Iterator[_Clip]:
    """Pops at least one group, then more until `quota` samples are full or `leave` are left."""
    taken = 0
    while taken == 0 or (taken < quota and len(order) > leave):
        group = groups[order.pop()]
        taken += _num_samples(group)
        yield from group


def _num_samples(group: list[_Clip]) -> int:
    return sum(clip.stop - clip.start for clip in group)


def _clips(recording: int, num_samples: int, clip_len: int) -> Iterator[_Clip]:
    for start in range(0, num_samples, clip_len):
        yield _Clip(recording, start, min(start + clip_len, num_samples))


def _write_split(
    folder: Path, name: str, clips: Sequence[_Clip], staged: Sequence[_Staged], gain: float
) -> dict[str, Any]:
    scale = gain * np.iinfo(np.int16).max
    with samples_file(folder, name).open("wb") as stream:
        for clip in clips:
            waveform = np.memmap(staged[clip.recording].file, dtype="<f4", mode="r")
            pcm = np.rint(waveform[clip.start : clip.stop] * scale).astype("<i2")
            stream.write(pcm.tobytes())
    lengths = np.array([clip.stop - clip.start for clip in clips], np.int64)
    np.save(lengths_file(folder, name), lengths)
    return {
        "num_clips": len(clips),
        "num_samples": int(lengths.sum()),
        "recordings": sorted({staged[clip.recording].name for clip in clips}),
    }
