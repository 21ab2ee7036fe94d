import dataclasses
import itertools
import threading

import numpy as np
import pytest

from samplernn_jax.data import segments
from samplernn_jax.data.dataset import PcmSplit
from samplernn_jax.quantization import pcm16_table
from tests.tiny_models import TINY, TINY_WAVENET

LENGTHS = np.array([100, 33, 1, 64, 47, 32, 80, 5, 2, 16], np.int64)
SEQ_LEN = 16


@pytest.fixture
def split():
    """Clips of samples whose values tell where they are from."""
    samples = np.arange(LENGTHS.sum(), dtype=np.int16) * 60 - 10_000
    return PcmSplit("train", LENGTHS, [samples])


def training(split, start_step=0, seed=0, batch=3, model=TINY, rows=None):
    return segments.training_segments(split, batch, SEQ_LEN, model, seed, start_step, rows)


def tokens_of(split, clip):
    table = pcm16_table(TINY.q_levels, TINY.q_type)
    return table[split.read(clip, 0, int(split.lengths[clip])).view(np.uint16)]


def assert_same(segment, other):
    for ours, theirs in zip(segment, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_order_is_a_function_of_seed_and_step(split):
    from_start = list(itertools.islice(training(split), 60))
    for step in (0, 1, 17, 42):
        later = itertools.islice(training(split, step), 10)
        for ours, expected in zip(later, from_start[step:], strict=False):
            assert_same(ours, expected)
    other = list(itertools.islice(training(split, seed=1), 60))
    assert any((a.tokens != b.tokens).any() for a, b in zip(from_start, other, strict=True))


def test_every_host_reads_its_rows_of_the_same_batch(split):
    whole = itertools.islice(training(split, batch=5), 40)
    mine = itertools.islice(training(split, batch=5, rows=range(2, 4)), 40)
    for ours, everything in zip(mine, whole, strict=True):
        assert_same(ours, [array[2:4] for array in everything])


def walk(steps, batch):
    """The stream of each row: (clip, start, stop, position of start in the row)."""
    streams = [[] for _ in range(batch)]
    for step, pieces in enumerate(steps):
        for piece in pieces:
            position = step * SEQ_LEN + piece.at
            streams[piece.row].append((piece.clip, piece.start, piece.stop, position))
    return streams


@pytest.mark.parametrize(("frame_size", "overlap"), [(4, 4), (1, 1), (8, 8), (1, 1000)])
def test_each_row_is_a_stream_of_whole_clips_with_silence_between(split, frame_size, overlap):
    order = itertools.islice(split.training_order(seed=0), 40)
    steps = segments.assign_clips(LENGTHS, 3, SEQ_LEN, frame_size, overlap, order)
    taken = []
    for stream in walk(steps, batch=3):
        previous_end = 0
        for number, (clip, start, stop, position) in enumerate(stream):
            if start == 0:
                taken.append(clip)
                gap = position - previous_end
                assert position % frame_size == 0
                assert gap >= overlap or position % SEQ_LEN == 0
                assert gap < min(overlap + frame_size, SEQ_LEN)
            else:
                assert stream[number - 1][:3:2] == (clip, start)
                assert position == previous_end
            previous_end = position + stop - start
            ended = number + 1 == len(stream) or stream[number + 1][1] == 0
            assert not ended or stop == LENGTHS[clip]
    order = itertools.islice(split.training_order(seed=0), 40)
    assert sorted(taken) == sorted(order)


def test_an_epoch_has_every_clip_once_and_the_next_another_order(split):
    order = split.training_order(seed=0)
    first, second = ([next(order) for _ in LENGTHS] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(len(LENGTHS)))
    assert first != second


MODELS = [TINY, TINY_WAVENET, dataclasses.replace(TINY, frame_sizes=())]


@pytest.mark.parametrize("model", MODELS, ids=["sample_rnn", "wavenet", "one_tier"])
@pytest.mark.parametrize("batch", [1, 3, 8, 20])
def test_evaluation_sees_every_sample_once_in_order_with_its_context(split, batch, model):
    seen = [np.zeros(0, np.int32) for _ in LENGTHS]
    frame_size, overlap = model.top_frame_size, model.overlap
    steps = segments.assign_clips(
        LENGTHS, batch, SEQ_LEN, frame_size, overlap, split.evaluation_order()
    )
    batches = segments.evaluation_segments(split, batch, SEQ_LEN, model)
    for pieces, segment in zip(steps, batches, strict=True):
        resets = np.zeros_like(segment.reset)
        for row, at, clip, start, stop in pieces:
            into = overlap + at
            context = np.concatenate([np.full(overlap, model.q_zero), seen[clip]])[-overlap:]
            np.testing.assert_array_equal(segment.tokens[row, into - overlap : into], context)
            assert start == len(seen[clip])
            resets[row, at // frame_size] |= start == 0
            assert segment.mask[row, at : at + stop - start].all()
            targets = segment.tokens[row, into : into + stop - start]
            seen[clip] = np.concatenate([seen[clip], targets])
        assert segment.mask.sum() == sum(piece.stop - piece.start for piece in pieces)
        targets = segment.tokens[:, overlap:]
        assert (targets[~segment.mask] == model.q_zero).all()
        np.testing.assert_array_equal(segment.reset, resets)
    for clip, tokens in enumerate(seen):
        np.testing.assert_array_equal(tokens, tokens_of(split, clip))


def test_no_row_ever_waits_in_training(split):
    for segment in itertools.islice(training(split, batch=5), 100):
        assert segment.mask[:, 0].all()


def test_little_is_padding_where_clips_are_short_and_unequal():
    lengths = np.random.default_rng(0).integers(1600, 16_000, 500).astype(np.int64)
    split = PcmSplit("train", lengths, [np.ones(int(lengths.sum()), np.int16)])
    model = dataclasses.replace(TINY, frame_sizes=(2, 8))
    for batch, seq_len in ((1, 512), (32, 1024), (128, 4096)):
        fed = segments.training_segments(split, batch, seq_len, model, seed=0, start_step=0)
        masks = [segment.mask.mean() for segment in itertools.islice(fed, 50)]
        assert 1 - np.mean(masks) < 0.005


def test_clips_are_found_in_their_shards():
    samples = np.arange(LENGTHS.sum(), dtype=np.int16)
    ends = np.cumsum(LENGTHS)
    whole = PcmSplit("train", LENGTHS, [samples])
    parts = PcmSplit("train", LENGTHS, np.split(samples, ends[[0, 3, 7]]))
    for clip, length in enumerate(LENGTHS.tolist()):
        np.testing.assert_array_equal(parts.read(clip, 0, length), whole.read(clip, 0, length))


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
