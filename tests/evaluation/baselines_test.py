import dataclasses
import tracemalloc

import numpy as np
import pytest

from samplernn_jax.data.dataset import PcmSplit
from samplernn_jax.evaluation.baselines import baselines, bigram_counts
from tests.tiny_models import TINY


def make_split(tokens, lengths):
    """A split whose samples quantize to the given tokens of 16 levels."""
    samples = ((np.asarray(tokens) - 8) * 4096).clip(-32768, 32767).astype(np.int16)
    return PcmSplit("train", np.asarray(lengths, np.int64), [samples])


def test_counts_pairs_within_clips_with_silence_before_each():
    counts = bigram_counts(make_split([1, 2, 2, 5, 1], [3, 2]), TINY)
    np.testing.assert_array_equal(counts.pairs, [1 * 16 + 2, 2 * 16 + 2, 5 * 16 + 1, 129, 133])
    np.testing.assert_array_equal(counts.counts, [1, 1, 1, 1, 1])


def dense(split, q_levels=16, q_zero=8):
    """The whole table."""
    table = np.zeros((q_levels, q_levels), np.int64)
    for clip, length in enumerate(split.lengths.tolist()):
        tokens = split.tokens(clip, 0, length, TINY)
        np.add.at(table, (np.concatenate([[q_zero], tokens[:-1]]), tokens), 1)
    return table


@pytest.mark.parametrize("max_table", [0, 2**20])
@pytest.mark.parametrize("at_once", [1, 100, 10**6])
def test_the_pairs_that_occur_say_what_the_whole_table_says(monkeypatch, max_table, at_once):
    """Counted in a table and by sorting, clip by clip and all at once."""
    monkeypatch.setattr("samplernn_jax.evaluation.baselines._MAX_TABLE", max_table)
    monkeypatch.setattr("samplernn_jax.evaluation.baselines._SAMPLES_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    train, split = (
        make_split(rng.binomial(n, 0.5, 5000), rng.multinomial(5000, np.full(40, 1 / 40)))
        for n in (9, 15)
    )
    counts, table = bigram_counts(train, TINY), dense(train)
    np.testing.assert_array_equal(counts.pairs, np.flatnonzero(table))
    np.testing.assert_array_equal(counts.counts, table[table > 0])
    histogram = (table.sum(axis=0) + 1) / (table.sum() + 16)
    bigram = (table + histogram[None]) / (table.sum(axis=1, keepdims=True) + 1)
    found, scores = dense(split), baselines(counts, split, TINY)
    for bits, expected in zip(scores, (histogram[None], bigram), strict=True):
        assert bits == pytest.approx(-(found * np.log2(expected)).sum() / 5000, rel=1e-12)


def test_65536_levels_take_memory_for_the_pairs_that_occur_alone():
    samples = np.cumsum(np.random.default_rng(0).integers(-40, 41, 2**17)).astype(np.int16)
    split = PcmSplit("train", np.array([2**16, 2**16]), [samples])
    model = dataclasses.replace(TINY, q_levels=2**16)
    tracemalloc.start()
    bits = baselines(bigram_counts(split, model), split, model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6
    assert 3 < bits.bigram_bits < bits.histogram_bits < 16


def test_an_alternating_signal_costs_a_histogram_one_bit_and_a_bigram_none():
    tokens = np.tile([3, 12], 5000)
    split = make_split(tokens, [10_000])
    result = baselines(bigram_counts(split, TINY), split, TINY)
    assert result.histogram_bits == pytest.approx(1.0, abs=0.02)
    assert result.bigram_bits == pytest.approx(0.0, abs=0.02)


def test_of_a_split_that_is_too_large_clips_from_all_of_it_are_counted():
    tokens = np.repeat(np.arange(16), 1000)
    split = make_split(tokens, [100] * 160)
    pairs, counts = bigram_counts(split, TINY, max_samples=4000)
    assert 3500 <= counts.sum() <= 4000
    assert set(pairs % 16) == set(range(16))
    assert bigram_counts(split, TINY).counts.sum() == 16_000


def test_independent_tokens_cost_both_the_entropy():
    tokens = np.random.default_rng(0).integers(0, 16, 200_000)
    split = make_split(tokens, [len(tokens)])
    result = baselines(bigram_counts(split, TINY), split, TINY)
    assert result.histogram_bits == pytest.approx(4.0, abs=0.01)
    assert result.bigram_bits == pytest.approx(4.0, abs=0.01)


def test_tokens_that_training_never_saw_have_a_finite_cost():
    train = bigram_counts(make_split([3, 4, 3, 4], [4]), TINY)
    other = make_split([15, 0, 15], [3])
    assert np.isfinite(baselines(train, other, TINY)).all()
