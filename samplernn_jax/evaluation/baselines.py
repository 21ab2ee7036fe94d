"""Baselines: bits per sample of a histogram and of a bigram table.

Both are fitted on the training split. A model that does not get far below the bigram has learned
nothing but the dependence on the last sample. Only the pairs that occur are kept of the bigram
table, as it has 2^32 cells with 65,536 levels.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.data.dataset import Split


class Baselines(NamedTuple):
    """Bits per sample on a split, for tables fitted on the training split."""

    histogram_bits: float
    bigram_bits: float


class Bigrams(NamedTuple):
    """Counts of pairs of consecutive tokens.

    Attributes:
        pairs: the pairs that occur, as before * q_levels + after, ascending.
        counts: the number of times that each pair occurs.
    """

    pairs: Int64[np.ndarray, " pairs"]
    counts: Int64[np.ndarray, " pairs"]


_MAX_TABLE = 2**20
"""The largest table that counts pairs; with more cells, pairs are sorted, which is slower."""

_MAX_SAMPLES = 2**28
_MAX_SAMPLES_TO_SORT = 2**24
"""The limit of samples where nearly all pairs may differ, so that each sample takes memory."""

_SAMPLES_AT_ONCE = 2**22


def bigram_counts(
    split: Split, model: ArchitectureConfig, max_samples: int | None = None
) -> Bigrams:
    """Returns the counts of pairs in a split; q_zero precedes each clip.

    A split with more than `max_samples` would take minutes to read or gigabytes to keep; then only
    some clips, from all over it, are counted. None stands for 2**28, or 2**24 with more than 1024
    levels.
    """
    if max_samples is None:
        max_samples = _MAX_SAMPLES if model.q_levels**2 <= _MAX_TABLE else _MAX_SAMPLES_TO_SORT
    every = -(-split.num_samples // max_samples)
    counted = Bigrams(np.zeros(0, np.int64), np.zeros(0, np.int64))
    for pairs in _pairs(split, model, every):
        counted = _joined(counted, _counted(pairs, model.q_levels))
    return counted


def baselines(train: Bigrams, split: Split, model: ArchitectureConfig) -> Baselines:
    """Returns the bits on every sample of a split, for tables fitted on the counts `train`.

    Every token of the histogram gets one extra count; every row of the bigram table gets one extra
    count, distributed like the histogram, so that unseen pairs keep a fair probability.
    """
    q_levels = model.q_levels
    histogram = _summed(train.pairs % q_levels, train.counts, q_levels) + 1.0
    histogram /= histogram.sum()
    row_sums = _summed(train.pairs // q_levels, train.counts, q_levels) + 1.0
    of_histogram, of_bigram = [], []
    for pairs in _pairs(split, model):
        found = _counted(pairs, q_levels)
        before, after = np.divmod(found.pairs, q_levels)
        seen = _looked_up(train, found.pairs)
        bigram = (seen + histogram[after]) / row_sums[before]
        of_histogram.append(float(found.counts @ -np.log2(histogram[after])))
        of_bigram.append(float(found.counts @ -np.log2(bigram)))
    return Baselines(
        math.fsum(of_histogram) / split.num_samples, math.fsum(of_bigram) / split.num_samples
    )


def _pairs(
    split: Split, model: ArchitectureConfig, every: int = 1
) -> Iterator[Int64[np.ndarray, " samples"]]:
    """Yields the pairs of every `every`-th clip, see `Bigrams`, for many clips at once."""
    waiting: list[Int64[np.ndarray, " time"]] = []
    num_waiting = 0
    for clip in range(0, split.num_clips, every):
        tokens = split.tokens(clip, 0, int(split.lengths[clip]), model).astype(np.int64)
        before = np.concatenate([np.array([model.q_zero]), tokens[:-1]])
        waiting.append(before * model.q_levels + tokens)
        num_waiting += len(tokens)
        if num_waiting >= _SAMPLES_AT_ONCE:
            yield np.concatenate(waiting)
            waiting, num_waiting = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _counted(pairs: Int64[np.ndarray, " samples"], q_levels: int) -> Bigrams:
    if q_levels**2 > _MAX_TABLE:
        return Bigrams(*np.unique(pairs, return_counts=True))
    table = np.bincount(pairs, minlength=q_levels**2)
    occurring = np.flatnonzero(table)
    return Bigrams(occurring, table[occurring])


def _joined(one: Bigrams, other: Bigrams) -> Bigrams:
    pairs, where = np.unique(np.concatenate([one.pairs, other.pairs]), return_inverse=True)
    return Bigrams(
        pairs, _summed(where, np.concatenate([one.counts, other.counts]), len(pairs)).astype(int)
    )


def _looked_up(table: Bigrams, pairs: Int64[np.ndarray, " found"]) -> Int64[np.ndarray, " found"]:
    """Returns the table's count of each pair."""
    where = np.minimum(np.searchsorted(table.pairs, pairs), len(table.pairs) - 1)
    return np.where(table.pairs[where] == pairs, table.counts[where], 0)


def _summed(
    keys: Int64[np.ndarray, " pairs"], counts: Int64[np.ndarray, " pairs"], num_keys: int
) -> Float64[np.ndarray, " num_keys"]:
    """Returns the sum of the counts of each key; exact below 2**53."""
    return np.bincount(keys, weights=counts, minlength=num_keys)
