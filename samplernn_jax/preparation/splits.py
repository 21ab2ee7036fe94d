"""The assignment of recordings or clips to training, validation and test."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from samplernn_jax.checks import require
from samplernn_jax.data.dataset import SPLITS
from samplernn_jax.preparation.clips import Clip
from samplernn_jax.preparation.settings import BuildSettings

# With fewer recordings, holding out whole ones would measure on only one or two odd ones.
_MIN_RECORDINGS = 10


class Splits(NamedTuple):
    """The clips of each split.

    Attributes:
        clips: by the name of the split, in the order of the recordings.
        unit: the unit that was assigned: a "recording", a "clip", or a recording as "given".
    """

    clips: Mapping[str, list[Clip]]
    unit: str


def unit_of_split(num_recordings: int, given: Sequence[str | None], settings: BuildSettings) -> str:
    """Returns the unit that is assigned to the splits, "recording", "clip" or "given".

    Raises:
        ValueError: a split would be empty, or two splits would share overlapping clips.
    """
    unit = settings.split_by
    if unit == "auto":
        unit = "recording" if num_recordings >= _MIN_RECORDINGS else "clip"
    require(
        unit != "clip" or settings.clip_overlap_s == 0,
        f"clip_overlap_s={settings.clip_overlap_s}: must be 0 where single clips are held out, as "
        f"from {num_recordings} recordings, or the splits would share audio",
    )
    for name in SPLITS if unit == "given" else ():
        require(name in given, f"split_by=given: no recording is in {name}")
    return unit


def assign_splits(
    clips: Sequence[Sequence[Clip]], given: Sequence[str | None], settings: BuildSettings
) -> Splits:
    """Returns the clips of each split.

    Args:
        clips: the clips of each recording, at least one.
        given: the split of each recording, for split_by="given".
        settings: the settings of the dataset.

    Raises:
        ValueError: a split would be empty, or two splits would share overlapping clips.
    """
    unit = unit_of_split(len(clips), given, settings)
    if unit == "given":
        return Splits(_as_given(clips, given), unit)
    groups = [list(of_recording) for of_recording in clips]
    if unit == "clip":
        groups = [[clip] for of_recording in clips for clip in of_recording]
    require(
        len(groups) >= len(SPLITS),
        f"clip_s={settings.clip_s}: gives {len(groups)} {unit}s, fewer than one for each of "
        f"{', '.join(SPLITS)}; use shorter clips or more audio",
    )
    return Splits(_at_random(groups, settings), unit)


def _as_given(
    clips: Sequence[Sequence[Clip]], given: Sequence[str | None]
) -> dict[str, list[Clip]]:
    splits: dict[str, list[Clip]] = {name: [] for name in SPLITS}
    for of_recording, name in zip(clips, given, strict=True):
        require(name in SPLITS, f"split_by=given: a recording has {name!r}, not one of {SPLITS}")
        splits[str(name)].extend(of_recording)
    for name, of_split in splits.items():
        require(bool(of_split), f"split_by=given: no recording with a clip is in {name}")
    return splits


def _at_random(groups: Sequence[Sequence[Clip]], settings: BuildSettings) -> dict[str, list[Clip]]:
    """Assigns whole groups of clips, so that about `held_out` of the audio is in valid and test."""
    sizes = [sum(clip.stop - clip.start for clip in group) for group in groups]
    wanted = settings.held_out * sum(sizes)
    order = np.random.default_rng(settings.seed).permutation(len(groups)).tolist()
    # Groups of more than twice the wanted size are for training, if there are enough others.
    candidates = [number for number in order if sizes[number] <= 2 * wanted]
    if len(candidates) < 2:
        candidates = sorted(order, key=lambda number: -sizes[number])[-2:]
    candidates = candidates[-(len(groups) - 1) :]  # at least one is for training
    wanted = min(wanted, sum(sizes[number] for number in candidates) / 2)
    valid = _chosen(candidates[1:], sizes, wanted)
    test = _chosen(candidates[: len(candidates) - len(valid)], sizes, wanted)
    train = set(order) - set(valid) - set(test)
    return {
        split: sorted(clip for number in numbers for clip in groups[number])
        for split, numbers in zip(SPLITS, (train, valid, test), strict=True)
    }


def _chosen(candidates: Sequence[int], sizes: Sequence[int], wanted: float) -> list[int]:
    """Returns candidates from the last one on, as many as come closest to the wanted size."""
    chosen: list[int] = []
    total = 0
    for number in reversed(candidates):
        if chosen and total + sizes[number] / 2 > wanted:
            break
        chosen.append(number)
        total += sizes[number]
    return chosen
