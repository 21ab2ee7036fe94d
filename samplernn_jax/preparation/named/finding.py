"""The recordings of named datasets in their folders, with the usual splits.

Every function takes the folder of the dataset, a folder for intermediate files, and a callback for
progress.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from samplernn_jax import audio
from samplernn_jax.data.dataset import SPLITS
from samplernn_jax.data.legacy import shuffled
from samplernn_jax.preparation import recordings
from samplernn_jax.preparation.recordings import Found, Recording
from samplernn_jax.preparation.staging import OnProgress

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_MUSIC_RATE_HZ = 16_000
_MUSIC_CLIP_S = 8
_MUSIC_HELD_OUT = 256
_MUSIC_BATCH = 128


def any_audio(folder: Path, scratch: Path, on_progress: OnProgress) -> Found:
    """Returns all audio files of the folder."""
    del on_progress
    return recordings.find([folder], leave_out=scratch)


def music(folder: Path, scratch: Path, on_progress: OnProgress) -> Found:
    """Returns the sonatas, joined, cut every 8 s, shuffled and split as the original does.

    The original trains on as many clips as fill batches of 128. Its preprocess.py cuts a clip
    every second instead of every 8 s, so that nearly all of its test audio is in training too;
    that is not repeated here.
    """
    found = recordings.find([folder], leave_out=scratch)
    prints = "\n".join(recording.fingerprint for recording in found.recordings)
    digest = hashlib.sha256(prints.encode(errors="surrogateescape")).hexdigest()[:16]
    rate = _MUSIC_RATE_HZ
    joined = scratch / f"joined_{digest}.wav"
    if not joined.exists():
        with audio.writer(joined, rate) as write_block:
            for block in _one_after_the_other(found.recordings, rate, on_progress):
                write_block(block)
    with audio.open_recording(joined) as opened:
        num_clips = opened.num_frames // rate // _MUSIC_CLIP_S - 1
    in_train = num_clips - 2 * _MUSIC_HELD_OUT
    in_batches = in_train // _MUSIC_BATCH * _MUSIC_BATCH
    names = sorted(f"p{number}" for number in range(num_clips))
    order = [names[number] for number in shuffled(num_clips)]
    splits = {
        "train": order[:in_batches],
        "valid": order[in_train:-_MUSIC_HELD_OUT],
        "test": order[-_MUSIC_HELD_OUT:],
    }
    clip_len = _MUSIC_CLIP_S * rate
    clips = [
        Recording(
            clip,
            partial(audio.open_recording, joined, int(clip[1:]) * clip_len, clip_len),
            f"{joined.name} {clip}",
            split,
        )
        for split, clips_of_split in splits.items()
        for clip in clips_of_split
    ]
    return found._replace(recordings=clips)


def _one_after_the_other(
    files: Sequence[Recording], sample_rate_hz: int, on_progress: OnProgress
) -> Iterator[audio.Waveform]:
    for number, recording in enumerate(files, start=1):
        try:
            with recording.open() as opened:
                yield from audio.resampled(opened, sample_rate_hz)
        except ValueError as error:
            raise ValueError(f"{recording.name}: {error}") from error
        on_progress("joining", number, len(files))


def sc09(folder: Path, scratch: Path, on_progress: OnProgress) -> Found:
    """Returns the digits of Speech Commands, split by the lists of its authors."""
    del scratch, on_progress
    marker = next(iter(sorted(folder.rglob("validation_list.txt"))), None)
    if marker is None:
        raise ValueError(f"dataset=sc09: {folder} must hold Speech Commands (validation_list.txt)")
    root = marker.parent
    files = [path for digit in _DIGITS for path in sorted((root / digit).glob("*.wav"))]
    lists = {"valid": marker, "test": root / "testing_list.txt"}
    splits = {}
    for split, file in lists.items():
        for name in file.read_text(encoding="utf-8").split():
            splits[name] = split
    digits = [(path.relative_to(root).as_posix(), path) for path in files]
    return Found(
        [recordings.of_file(name, path, splits.get(name, "train")) for name, path in digits]
    )


def in_natural_order(folder: Path, scratch: Path, on_progress: OnProgress) -> Found:
    """Returns the files: the first 88 % for training, those up to 94 % for validation."""
    del scratch, on_progress
    files = sorted(
        (path for path in folder.rglob("*.wav") if not path.name.startswith(".")),
        key=lambda path: [int(part) for part in re.findall(r"\d+", path.stem)],
    )
    ends = int(0.88 * len(files)), int(0.94 * len(files))
    return Found(
        [
            recordings.of_file(path.name, path, SPLITS[sum(number >= end for end in ends)])
            for number, path in enumerate(files)
        ]
    )
