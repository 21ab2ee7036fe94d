"""The audio for validation: excerpts from all over a split, each a clip of its own.

They are a pure function of the lengths of the clips, so every batch size, segment length, device
and process validates on the same audio, and so do runs that are compared.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Int32, Int64

from samplernn_jax.config import ArchitectureConfig, ExperimentConfig
from samplernn_jax.data.dataset import Split
from samplernn_jax.data.segments import assign_clips

_EXCERPT_S = 2.0
"""The length in seconds: long enough that the silence in front of an excerpt hardly counts, and
short enough that a minute of excerpts covers the whole split and fills the rows of a batch."""

_GOLDEN = (5**0.5 - 1) / 2


@dataclasses.dataclass(frozen=True)
class Excerpts(Split):
    """Parts of the clips of a split.

    Attributes:
        name: the name of the split.
        whole: the split.
        clips: the clip of the split from which each excerpt is taken.
        starts: the position in that clip where the excerpt begins.
        lengths: the number of samples in each excerpt.
    """

    name: str
    whole: Split
    clips: Int64[np.ndarray, " num_excerpts"]
    starts: Int64[np.ndarray, " num_excerpts"]
    lengths: Int64[np.ndarray, " num_excerpts"]

    def tokens(
        self, clip: int, start: int, stop: int, model: ArchitectureConfig
    ) -> Int32[np.ndarray, " time"]:
        """See `Split`."""
        first = int(self.starts[clip])
        return self.whole.tokens(int(self.clips[clip]), first + start, first + stop, model)


def spread_evenly(split: Split, sample_rate_hz: int, seconds: float) -> Split:
    """Returns excerpts of about two seconds from all over a split, `seconds` in total.

    Shorter clips are taken whole. The split is divided into equal stretches, and each has one
    excerpt; their places in the stretches follow no pattern (multiples of the golden ratio).

    Args:
        split: the clips.
        sample_rate_hz: the sample rate of the clips.
        seconds: the total seconds of audio, to the nearest excerpt; 0, or more than there are, for
            the whole split.
    """
    per_clip = np.maximum(1, np.rint(split.lengths / (_EXCERPT_S * sample_rate_hz))).astype(int)
    num_parts = int(per_clip.sum())
    mean_s = split.num_samples / num_parts / sample_rate_hz
    count = max(1, round(seconds / mean_s))
    if seconds == 0 or count >= num_parts:
        return split
    stretches = np.arange(count + 1) * num_parts // count
    within = np.arange(count) * _GOLDEN % 1
    parts = stretches[:-1] + (within * np.diff(stretches)).astype(int)
    clips = np.searchsorted(np.cumsum(per_clip), parts, side="right")
    number = parts - (np.cumsum(per_clip) - per_clip)[clips]
    starts = number * split.lengths[clips] // per_clip[clips]
    stops = (number + 1) * split.lengths[clips] // per_clip[clips]
    return Excerpts(split.name, split, clips, starts, stops - starts)


def first_segments(split: Split, config: ExperimentConfig, count: int) -> Split:
    """Returns the validation audio of runs that began before `train.valid_s` was added.

    It is the first segments of every row: the beginnings of the longest clips, one for each row.
    """
    model, data = config.model, config.data
    segments = assign_clips(
        split.lengths,
        data.batch_size,
        data.seq_len,
        model.top_frame_size,
        model.overlap,
        split.evaluation_order(),
    )
    stops = {
        piece.clip: piece.stop for pieces in itertools.islice(segments, count) for piece in pieces
    }
    clips = np.array(list(stops), np.int64)
    lengths = np.array(list(stops.values()), np.int64)
    return Excerpts(split.name, split, clips, np.zeros_like(clips), lengths)
