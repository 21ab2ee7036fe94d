import dataclasses

import pytest

from samplernn_jax.preparation import splits
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.splits import Clip

SETTINGS = BuildSettings(sample_rate_hz=1000, clip_s=1.0, min_clip_s=0.1)


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def recordings(lengths, config=SETTINGS):
    return [list(splits.cut(i, [(0, n)], config)) for i, n in enumerate(lengths)]


def deal(lengths, given=None, **changes):
    config = settings(**changes)
    return splits.deal(recordings(lengths, config), given or [None] * len(lengths), config)


def held_out(dealt):
    return {name: {clip.recording for clip in clips} for name, clips in dealt.items()}


def test_clips_tile_the_parts_and_the_last_is_shorter():
    clips = list(splits.cut(7, [(50, 2300), (4000, 4500)], SETTINGS))
    expected = [(50, 1050), (1050, 2050), (2050, 2300), (4000, 4500)]
    assert clips == [Clip(7, *ends) for ends in expected]


def test_short_clips_are_left_out():
    assert list(splits.cut(0, [(0, 1099), (2000, 2099)], SETTINGS)) == [Clip(0, 0, 1000)]


def test_overlapping_clips_share_audio_and_end_with_the_part():
    clips = list(splits.cut(0, [(0, 2500)], settings(clip_overlap_s=0.25)))
    assert [clip[1:] for clip in clips] == [(0, 1000), (750, 1750), (1500, 2500)]


def test_whole_recordings_are_held_out_where_there_are_ten():
    dealt, split_by = deal([5000] * 10)
    assert split_by == "recording"
    by_split = held_out(dealt)
    assert {name: len(numbers) for name, numbers in by_split.items()} == {
        "train": 8,
        "valid": 1,
        "test": 1,
    }
    assert sum(len(clips) for clips in dealt.values()) == 50


def test_few_recordings_are_split_by_clip():
    dealt, split_by = deal([10_000] * 9)
    assert split_by == "clip"
    assert {name: len(clips) for name, clips in dealt.items()} == {
        "train": 72,
        "valid": 9,
        "test": 9,
    }


def test_what_is_held_out_can_be_chosen():
    assert deal([5000] * 9, split_by="recording")[1] == "recording"
    assert deal([5000] * 50, split_by="clip")[1] == "clip"


@pytest.mark.parametrize("seed", range(5))
def test_one_very_long_recording_is_trained_on(seed):
    dealt, _ = deal([100_000] + [900] * 12, seed=seed)
    assert 0 in held_out(dealt)["train"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "minutes", [[40, 40] + [2] * 8, [1] * 10, list(range(1, 15)), [30] + [1] * 9, [5, 5, 90] * 4]
)
def test_what_is_held_out_is_near_to_what_was_asked_for(minutes, seed):
    dealt, _ = deal([60_000 * m for m in minutes], seed=seed)
    total = sum(minutes) * 60_000
    for split in ("valid", "test"):
        share = sum(clip.stop - clip.start for clip in dealt[split]) / total
        assert 0.04 <= share <= 0.2


def test_three_recordings_are_one_for_each_split():
    dealt, _ = deal([50_000, 1000, 60_000], split_by="recording")
    assert sorted(map(len, held_out(dealt).values())) == [1, 1, 1]
    assert held_out(dealt)["train"] == {2}


def test_the_seed_decides():
    assert deal([900] * 40, seed=1) == deal([900] * 40, seed=1)
    assert deal([900] * 40, seed=1) != deal([900] * 40, seed=2)


def test_a_given_split_is_kept():
    dealt, split_by = deal([900] * 4, ["test", "train", "valid", "train"], split_by="given")
    assert split_by == "given"
    assert held_out(dealt) == {"train": {1, 3}, "valid": {2}, "test": {0}}


@pytest.mark.parametrize(
    ("lengths", "given", "changes", "message"),
    [
        ([900, 900], None, {}, "clip_s=1.0: gives 2 clips to deal, fewer than one for each"),
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
def test_what_cannot_be_dealt_is_named(lengths, given, changes, message):
    with pytest.raises(ValueError, match=message):
        deal(lengths, given, **changes)
