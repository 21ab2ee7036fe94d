import dataclasses

from samplernn_jax.preparation.clips import Clip, cut
from samplernn_jax.preparation.settings import BuildSettings

SETTINGS = BuildSettings(sample_rate_hz=1000, clip_s=1.0, min_clip_s=0.1)


def test_clips_tile_the_parts_and_the_last_is_shorter():
    clips = list(cut(7, [(50, 2300), (4000, 4500)], SETTINGS))
    expected = [(50, 1050), (1050, 2050), (2050, 2300), (4000, 4500)]
    assert clips == [Clip(7, *ends) for ends in expected]


def test_short_clips_are_left_out():
    assert list(cut(0, [(0, 1099), (2000, 2099)], SETTINGS)) == [Clip(0, 0, 1000)]


def test_overlapping_clips_share_audio_and_end_with_the_part():
    clips = list(cut(0, [(0, 2500)], dataclasses.replace(SETTINGS, clip_overlap_s=0.25)))
    assert [clip[1:] for clip in clips] == [(0, 1000), (750, 1750), (1500, 2500)]
