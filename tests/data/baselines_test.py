import numpy as np
import pytest

from samplernn_jax.data.baselines import baselines, bigram_counts
from samplernn_jax.data.dataset import PcmSplit
from tests.models import TINY


def make_split(tokens, lengths):
    """A split whose samples quantize to the given tokens of 16 levels."""
    samples = ((np.asarray(tokens) - 8) * 4096).clip(-32768, 32767).astype(np.int16)
    return PcmSplit("train", np.asarray(lengths, np.int64), [samples])


def test_counts_pairs_within_clips_with_silence_before_each():
    counts = bigram_counts(make_split([1, 2, 2, 5, 1], [3, 2]), TINY)
    expected = np.zeros((16, 16), int)
    for before, after in [(8, 1), (1, 2), (2, 2), (8, 5), (5, 1)]:
        expected[before, after] += 1
    np.testing.assert_array_equal(counts, expected)


def test_an_alternating_signal_costs_a_histogram_one_bit_and_a_bigram_none():
    tokens = np.tile([3, 12], 5000)
    counts = bigram_counts(make_split(tokens, [10_000]), TINY)
    result = baselines(counts, counts)
    assert result.histogram_bits == pytest.approx(1.0, abs=0.02)
    assert result.bigram_bits == pytest.approx(0.0, abs=0.02)


def test_of_a_split_that_is_too_large_clips_from_all_of_it_are_counted():
    tokens = np.repeat(np.arange(16), 1000)
    split = make_split(tokens, [100] * 160)
    counts = bigram_counts(split, TINY, max_samples=4000).sum(axis=0)
    assert 3500 <= counts.sum() <= 4000
    assert (counts > 0).all()
    assert bigram_counts(split, TINY).sum() == 16_000


def test_independent_tokens_cost_both_the_entropy():
    tokens = np.random.default_rng(0).integers(0, 16, 200_000)
    counts = bigram_counts(make_split(tokens, [len(tokens)]), TINY)
    result = baselines(counts, counts)
    assert result.histogram_bits == pytest.approx(4.0, abs=0.01)
    assert result.bigram_bits == pytest.approx(4.0, abs=0.01)


def test_tokens_that_training_never_saw_have_a_finite_cost():
    train = bigram_counts(make_split([3, 4, 3, 4], [4]), TINY)
    other = bigram_counts(make_split([15, 0, 15], [3]), TINY)
    assert np.isfinite(baselines(train, other)).all()
