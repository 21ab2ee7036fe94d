"""What is held out: recordings or clips dealt to train, valid and test."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from samplernn_jax.data.dataset import SPLITS
from samplernn_jax.preparation.settings import BuildSettings

# With fewer recordings than this a split by recording would hold out one or two odd ones.
_MIN_RECORDINGS = 10


class Clip(NamedTuple):
    """Samples [start, stop) of a recording, which goes by its number."""

    recording: int
    start: int
    stop: int


def cut(
    recording: int, parts: Sequence[tuple[int, int]], settings: BuildSettings
) -> Iterator[Clip]:
    """The clips of the parts of a recording that are to be kept."""
    hop = settings.clip_len - settings.samples(settings.clip_overlap_s)
    shortest = max(1, settings.samples(settings.min_clip_s))
    for start, stop in parts:
        for at in range(start, stop, hop):
            clip = Clip(recording, at, min(at + settings.clip_len, stop))
            if clip.stop - clip.start >= shortest:
                yield clip
            if clip.stop == stop:
                break


def held_out(num_recordings: int, given: Sequence[str | None], settings: BuildSettings) -> str:
    """What is held out, "recording", "clip" or "given", as far as that is known before decoding.

    Raises:
        ValueError: a split would be empty, or clips that overlap would be in two splits.
    """
    split_by = settings.split_by
    if split_by == "auto":
        split_by = "recording" if num_recordings >= _MIN_RECORDINGS else "clip"
    if split_by == "clip" and settings.clip_overlap_s > 0:
        raise ValueError(
            f"clip_overlap_s={settings.clip_overlap_s}: must be 0 where single clips are held out, "
            f"as of {num_recordings} recordings, or the splits would share audio"
        )
    if split_by == "given":
        for name in SPLITS:
            if name not in given:
                raise ValueError(f"split_by=given: no recording is in {name}")
    return split_by


def deal(
    by_recording: Sequence[Sequence[Clip]], given: Sequence[str | None], settings: BuildSettings
) -> tuple[dict[str, list[Clip]], str]:
    """Deals clips to the splits.

    Args:
        by_recording: the clips of each recording, at least one.
        given: the split of each recording, for split_by="given".
        settings: of the dataset.

    Returns:
        The clips of each split, in the order of the recordings, and what was held out:
        "recording", "clip" or "given".

    Raises:
        ValueError: a split would be empty, or clips that overlap would be in two splits.
    """
    split_by = held_out(len(by_recording), given, settings)
    if split_by == "given":
        return _as_given(by_recording, given), split_by
    groups = [list(clips) for clips in by_recording]
    if split_by == "clip":
        groups = [[clip] for clips in by_recording for clip in clips]
    if len(groups) < len(SPLITS):
        raise ValueError(
            f"clip_s={settings.clip_s}: gives {len(groups)} {split_by}s to deal, fewer than one "
            f"for each of {', '.join(SPLITS)}; use shorter clips or more audio"
        )
    return _at_random(groups, settings), split_by


def _as_given(
    by_recording: Sequence[Sequence[Clip]], given: Sequence[str | None]
) -> dict[str, list[Clip]]:
    splits: dict[str, list[Clip]] = {name: [] for name in SPLITS}
    for clips, name in zip(by_recording, given, strict=True):
        if name not in splits:
            raise ValueError(f"split_by=given: a recording has {name!r}, must be one of {SPLITS}")
        splits[name].extend(clips)
    for name, clips in splits.items():
        if not clips:
            raise ValueError(f"split_by=given: no recording with a clip is in {name}")
    return splits


def _at_random(groups: list[list[Clip]], settings: BuildSettings) -> dict[str, list[Clip]]:
    quota = settings.held_out * sum(map(_num_samples, groups))
    order = np.random.default_rng(settings.seed).permutation(len(groups)).tolist()
    # What is longer than twice the quota is trained on, if there are enough others.
    short = [number for number in order if _num_samples(groups[number]) <= 2 * quota]
    if len(short) < 2:
        short = sorted(order, key=lambda number: -_num_samples(groups[number]))[-2:]
    short = short[-(len(groups) - 1) :]  # one at least is trained on
    quota = min(quota, sum(_num_samples(groups[number]) for number in short) / 2)
    valid = _take(groups, short, quota, leave=1)
    test = _take(groups, short, quota, leave=0)
    numbers = {"valid": valid, "test": test, "train": set(order) - set(valid) - set(test)}
    return {
        split: sorted(clip for number in numbers[split] for clip in groups[number])
        for split in SPLITS
    }


def _take(groups: list[list[Clip]], short: list[int], quota: float, leave: int) -> list[int]:
    """Pops at least one group, then more until another would lead further away from `quota`."""
    numbers, taken = [], 0
    while len(short) > leave:
        size = _num_samples(groups[short[-1]])
        if taken and taken + size / 2 > quota:
            break
        numbers.append(short.pop())
        taken += size
    return numbers


def _num_samples(group: list[Clip]) -> int:
    return sum(clip.stop - clip.start for clip in group)
