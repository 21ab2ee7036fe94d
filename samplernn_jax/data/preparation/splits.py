"""What is held out: recordings or clips dealt to train, valid and test."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from samplernn_jax.data.dataset import SPLITS
from samplernn_jax.data.preparation.settings import BuildSettings

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
    split_by = settings.split_by
    if split_by == "auto":
        split_by = "recording" if len(by_recording) >= _MIN_RECORDINGS else "clip"
    if split_by == "given":
        return _as_given(by_recording, given), split_by
    groups = [list(clips) for clips in by_recording]
    if split_by == "clip":
        groups = [[clip] for clips in by_recording for clip in clips]
        if settings.clip_overlap_s > 0:
            raise ValueError(
                f"clip_overlap_s={settings.clip_overlap_s}: must be 0 where single clips are held "
                f"out, as {len(by_recording)} recordings make necessary, or the splits would share "
                "audio"
            )
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
    # What is longer than twice the quota is taken last, so it is trained on.
    order.sort(key=lambda number: _num_samples(groups[number]) <= 2 * quota)
    valid = list(_take(groups, order, quota, leave=2))
    test = list(_take(groups, order, quota, leave=1))
    train = [clip for number in order for clip in groups[number]]
    return {"train": sorted(train), "valid": sorted(valid), "test": sorted(test)}


def _take(groups: list[list[Clip]], order: list[int], quota: float, leave: int) -> Iterator[Clip]:
    """Pops at least one group, then more until `quota` samples are full or `leave` are left."""
    taken = 0
    while taken == 0 or (taken < quota and len(order) > leave):
        group = groups[order.pop()]
        taken += _num_samples(group)
        yield from group


def _num_samples(group: list[Clip]) -> int:
    return sum(clip.stop - clip.start for clip in group)
