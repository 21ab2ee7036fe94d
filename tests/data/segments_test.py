import itertools
import threading

import numpy as np
import pytest

from samplernn_jax.data import segments
from samplernn_jax.data.dataset import PcmSplit
from samplernn_jax.quantization import pcm16_table
from tests.models import TINY

LENGTHS = np.array([100, 33, 1, 64, 47, 32, 80, 5], np.int64)
SEQ_LEN = 16


@pytest.fixture
def split():
    """Clips of samples whose values tell where they are from."""
    samples = np.arange(LENGTHS.sum(), dtype=np.int16) * 60 - 10_000
    return PcmSplit("train", LENGTHS, samples)


def training(split, start_step=0, seed=0, batch=3):
    return segments.training_segments(split, batch, SEQ_LEN, TINY, seed, start_step)


def tokens_of(split, clip):
    table = pcm16_table(TINY.q_levels, TINY.q_type)
    return table[split.read(clip, 0, int(split.lengths[clip])).view(np.uint16)]


def test_the_order_is_a_function_of_seed_and_step(split):
    from_start = list(itertools.islice(training(split), 60))
    for step in (0, 1, 17, 42):
        for ours, expected in zip(
            itertools.islice(training(split, step), 10), from_start[step:], strict=False
        ):
            for a, b in zip(ours, expected, strict=True):
                np.testing.assert_array_equal(a, b)
    other = list(itertools.islice(training(split, seed=1), 60))
    assert any((a.tokens != b.tokens).any() for a, b in zip(from_start, other, strict=True))


def test_each_row_walks_a_whole_clip_then_the_next(split):
    order = split.training_order(seed=0)
    steps = itertools.islice(segments.schedule(LENGTHS, 3, SEQ_LEN, order), 200)
    clips, numbers = map(np.stack, zip(*steps, strict=True))
    for row in range(3):
        before = (-1, -1)
        for clip, number in zip(clips[:, row], numbers[:, row], strict=True):
            is_last = before[0] < 0 or (before[1] + 1) * SEQ_LEN >= LENGTHS[before[0]]
            expected = 0 if is_last else before[1] + 1
            assert number == expected
            assert is_last or clip == before[0]
            before = (clip, number)


def test_an_epoch_has_every_clip_once_and_the_next_another_order(split):
    order = split.training_order(seed=0)
    first, second = ([next(order) for _ in range(8)] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(8))
    assert first != second


@pytest.mark.parametrize("batch", [1, 3, 8, 20])
def test_evaluation_sees_every_sample_once_in_order_with_its_context(split, batch):
    seen = [[] for _ in LENGTHS]
    order = split.evaluation_order()
    positions = segments.schedule(LENGTHS, batch, SEQ_LEN, order)
    batches = segments.evaluation_segments(split, batch, SEQ_LEN, TINY)
    for position, segment in zip(positions, batches, strict=True):
        for row, clip in enumerate(position.clip):
            targets = segment.tokens[row, TINY.overlap :]
            if clip < 0:
                assert not segment.mask[row].any()
                assert segment.reset[row]
                continue
            context = np.concatenate([np.full(TINY.overlap, TINY.q_zero), *seen[clip]])
            np.testing.assert_array_equal(
                segment.tokens[row, : TINY.overlap], context[-TINY.overlap :]
            )
            assert segment.reset[row] == (not seen[clip])
            seen[clip].append(targets[segment.mask[row]])
            assert (targets[~segment.mask[row]] == TINY.q_zero).all()
    for clip, pieces in enumerate(seen):
        np.testing.assert_array_equal(np.concatenate(pieces), tokens_of(split, clip))


def test_no_row_ever_waits_in_training(split):
    for segment in itertools.islice(training(split, batch=5), 100):
        assert segment.mask[:, 0].all()


def test_a_split_of_clips_shorter_than_a_segment_is_refused(split):
    with pytest.raises(ValueError, match="seq_len=104: longer than every clip of split train"):
        segments.training_segments(split, 2, 104, TINY, 0, 0)


def test_prefetch_gives_the_same_items():
    assert list(segments.prefetch(iter(range(50)))) == list(range(50))


def test_prefetch_passes_errors_on():
    def fails():
        yield 1
        raise ValueError("broken")

    items = segments.prefetch(fails())
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_prefetch_ends_its_thread_when_closed():
    items = segments.prefetch(itertools.count())
    next(items)
    items.close()
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())
