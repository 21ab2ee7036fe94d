"""What a model without memory reaches: bits per sample of a marginal and of a bigram table.

Both are fitted on the training split. A SampleRNN that does not get far below the bigram has
learned nothing that the last sample alone does not tell.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.data.dataset import Split


class Baselines(NamedTuple):
    """Bits per sample on a split of tables fitted on the training split."""

    histogram_bits: float
    bigram_bits: float


_MAX_SAMPLES = 2**28


def bigram_counts(
    split: Split, model: ArchitectureConfig, max_samples: int = _MAX_SAMPLES
) -> Int64[np.ndarray, "q_levels q_levels"]:
    """How often each token (column) follows each token (row); q_zero precedes a clip.

    Of a split with more than `max_samples`, which would take minutes to read, every so many-th
    clip is counted.
    """
    q_levels = model.q_levels
    counts = np.zeros(q_levels * q_levels, np.int64)
    every = -(-split.num_samples // max_samples)
    for clip in range(0, split.num_clips, every):
        tokens = split.tokens(clip, 0, int(split.lengths[clip]), model)
        before = np.concatenate([np.array([model.q_zero], np.int32), tokens[:-1]])
        counts += np.bincount(before * q_levels + tokens, minlength=len(counts))
    return counts.reshape(q_levels, q_levels)


def baselines(
    train: Int64[np.ndarray, "q_levels q_levels"], split: Int64[np.ndarray, "q_levels q_levels"]
) -> Baselines:
    """Scores tables fitted on the counts `train` on the counts `split`.

    The histogram has one count added to every token; a row of the bigram table has one count
    added that is spread like the histogram, so that unseen pairs keep a fair probability.
    """
    histogram = train.sum(axis=0) + 1.0
    histogram /= histogram.sum()
    bigram = train + histogram[None, :]
    bigram /= bigram.sum(axis=1, keepdims=True)
    return Baselines(_cross_entropy(split.sum(axis=0), histogram), _cross_entropy(split, bigram))


def _cross_entropy(
    counts: Int64[np.ndarray, "*shape"], probabilities: Float64[np.ndarray, "*shape"]
) -> float:
    return float(-(counts * np.log2(probabilities)).sum() / counts.sum())
