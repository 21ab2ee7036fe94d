import dataclasses

import numpy as np
import pytest

from samplernn_jax.config import DataConfig
from samplernn_jax.data.dataset import PcmSplit
from samplernn_jax.data.excerpts import first_segments, spread_evenly
from samplernn_jax.data.segments import evaluation_segments
from tests.tiny_models import TINY
from tests.training.runs import make_config

RATE = 100


def split_of(*lengths):
    """Clips of samples that count up over all of them, at 100 Hz."""
    samples = np.arange(sum(lengths)).astype(np.int16)
    return PcmSplit("valid", np.array(lengths, np.int64), [samples])


def places(excerpts, split):
    """Where in the samples of the split each excerpt begins and ends."""
    starts = (np.cumsum(split.lengths) - split.lengths)[excerpts.clips] + excerpts.starts
    return starts, starts + excerpts.lengths


CLIPS = {
    "long": [50_000, 20_000],
    "of_8_s": [800] * 60 + [123],
    "short": [30, 90, 55, 71] * 100,
    "unequal": [40_000, 10, 20, 300, 7000, 1],
}


@pytest.mark.parametrize("clips", CLIPS.values(), ids=CLIPS)
@pytest.mark.parametrize("seconds", [20.0, 60.0, 100.0])
def test_excerpts_come_from_everywhere_and_no_sample_twice(clips, seconds):
    split = split_of(*clips)
    excerpts = spread_evenly(split, RATE, seconds)
    starts, stops = places(excerpts, split)
    assert excerpts.num_samples == pytest.approx(seconds * RATE, rel=0.15)
    assert (starts[1:] >= stops[:-1]).all()
    assert (excerpts.starts + excerpts.lengths <= split.lengths[excerpts.clips]).all()
    assert excerpts.lengths.min() > 0 and excerpts.lengths.max() <= 3 * RATE
    apart = split.num_samples / excerpts.num_clips
    assert np.diff([0, *starts, split.num_samples]).max() < 2.5 * apart + 3 * RATE


def test_the_recordings_give_as_they_are_long():
    """Eight of 80 s and one of 640 s, each in clips of 8 s, one after the other."""
    split = split_of(*[800] * 160)
    excerpts = spread_evenly(split, RATE, 100.0)
    of_recording = np.minimum(excerpts.clips // 10, 8)
    share = np.bincount(of_recording, excerpts.lengths) / RATE
    np.testing.assert_allclose(share, [6.25] * 8 + [50], atol=2.5)


def test_excerpts_are_not_in_step_with_the_clips():
    excerpts = spread_evenly(split_of(*[800] * 100), RATE, 200.0)
    assert (np.bincount(excerpts.starts // 200, minlength=4) >= 15).all()


@pytest.mark.parametrize("seconds", [0.0, 799.0, 1e4])
def test_all_there_is_is_the_split_itself(seconds):
    split = split_of(40_000, 40_000)
    assert spread_evenly(split, RATE, seconds) is split


def test_an_excerpt_reads_its_part_of_the_clip():
    model = dataclasses.replace(TINY, q_levels=2**16)
    split = split_of(5000, 7000)
    excerpts = spread_evenly(split, RATE, 20.0)
    assert excerpts.name == "valid"
    for number, (start, stop) in enumerate(zip(*places(excerpts, split), strict=True)):
        tokens = excerpts.tokens(number, 3, int(stop - start), model)
        np.testing.assert_array_equal(tokens, np.arange(start + 3, stop) + 2**15)


@pytest.mark.parametrize("lengths", [[90, 400, 300, 20, 10, 37], [5, 3], [1000] * 9])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_first_segments_are_what_runs_of_before_read(lengths, count):
    split = split_of(*lengths)
    config = make_config("x", data=DataConfig("x", batch_size=3, seq_len=16))
    read = first_segments(split, config, count)
    before, now = (list(evaluation_segments(s, 3, 16, TINY)) for s in (split, read))
    for ours, theirs in zip(before[:count], now, strict=True):
        assert ours.mask.sum() == theirs.mask.sum()
    in_all = np.sort(np.concatenate([segment.tokens[:, 4:][segment.mask] for segment in now]))
    expected = [segment.tokens[:, 4:][segment.mask] for segment in before[:count]]
    np.testing.assert_array_equal(in_all, np.sort(np.concatenate(expected)))
