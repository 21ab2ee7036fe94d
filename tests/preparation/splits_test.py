import dataclasses

import pytest

from samplernn_jax.preparation.clips import cut
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.splits import assign_splits

SETTINGS = BuildSettings(sample_rate_hz=1000, clip_s=1.0, min_clip_s=0.1)


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def recordings(lengths, config=SETTINGS):
    return [list(cut(i, [(0, n)], config)) for i, n in enumerate(lengths)]


def assign(lengths, given=None, **changes):
    config = settings(**changes)
    return assign_splits(recordings(lengths, config), given or [None] * len(lengths), config)


def held_out(clips):
    return {name: {clip.recording for clip in of_split} for name, of_split in clips.items()}


def test_whole_recordings_are_held_out_where_there_are_ten():
    clips, unit = assign([5000] * 10)
    assert unit == "recording"
    by_split = held_out(clips)
    assert {name: len(numbers) for name, numbers in by_split.items()} == {
        "train": 8,
        "valid": 1,
        "test": 1,
    }
    assert sum(map(len, clips.values())) == 50


def test_few_recordings_are_split_by_clip():
    clips, unit = assign([10_000] * 9)
    assert unit == "clip"
    assert {name: len(of_split) for name, of_split in clips.items()} == {
        "train": 72,
        "valid": 9,
        "test": 9,
    }


def test_what_is_held_out_can_be_chosen():
    assert assign([5000] * 9, split_by="recording")[1] == "recording"
    assert assign([5000] * 50, split_by="clip")[1] == "clip"


@pytest.mark.parametrize("seed", range(5))
def test_one_very_long_recording_is_trained_on(seed):
    clips, _ = assign([100_000] + [900] * 12, seed=seed)
    assert 0 in held_out(clips)["train"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "minutes", [[40, 40] + [2] * 8, [1] * 10, list(range(1, 15)), [30] + [1] * 9, [5, 5, 90] * 4]
)
def test_what_is_held_out_is_near_to_what_was_asked_for(minutes, seed):
    clips, _ = assign([60_000 * m for m in minutes], seed=seed)
    total = sum(minutes) * 60_000
    for split in ("valid", "test"):
        share = sum(clip.stop - clip.start for clip in clips[split]) / total
        assert 0.04 <= share <= 0.2


def test_three_recordings_are_one_for_each_split():
    clips, _ = assign([50_000, 1000, 60_000], split_by="recording")
    assert sorted(map(len, held_out(clips).values())) == [1, 1, 1]
    assert held_out(clips)["train"] == {2}


def test_the_seed_decides():
    assert assign([900] * 40, seed=1) == assign([900] * 40, seed=1)
    assert assign([900] * 40, seed=1) != assign([900] * 40, seed=2)


def test_a_given_split_is_kept():
    clips, unit = assign([900] * 4, ["test", "train", "valid", "train"], split_by="given")
    assert unit == "given"
    assert held_out(clips) == {"train": {1, 3}, "valid": {2}, "test": {0}}


@pytest.mark.parametrize(
    ("lengths", "given", "changes", "message"),
    [
        ([900, 900], None, {}, "clip_s=1.0: gives 2 clips, fewer than one for each"),
        ([900] * 3, ["train"] * 3, {"split_by": "given"}, "no recording is in valid"),
        (
            [900, 900, 50],
            ["train", "valid", "test"],
            {"split_by": "given"},
            "no recording with a clip is in test",
        ),
        ([9000] * 3, None, {"clip_overlap_s": 0.5}, "clip_overlap_s=0.5: must be 0 where single"),
    ],
)
def test_a_split_that_cannot_be_made_is_named(lengths, given, changes, message):
    with pytest.raises(ValueError, match=message):
        assign(lengths, given, **changes)
