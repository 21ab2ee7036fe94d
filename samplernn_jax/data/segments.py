"""Clips -> segments: the data order, a pure function of (clip lengths, seed, step).

Every row of the batch is a sequence of clips, and a segment is the next `seq_len` samples of all
rows. A clip that ends inside a segment is followed by the next one in the same segment, at the next
frame after `overlap` silent samples, or by the next segment if that begins earlier. So little of a
batch is padding, even with short clips. Epochs follow each other without a seam, no row ever waits
and nothing is dropped. For a WaveNet, whose overlap is longer than most segments, each clip begins
a segment.
"""

import heapq
import itertools
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Int, Int32

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.data.dataset import Split
from samplernn_jax.models.types import Conditions

T = TypeVar("T")


class Segment(NamedTuple):
    """The input of one step.

    Attributes:
        tokens: the overlap, then the targets; q_zero outside the clips.
        mask: True for targets that lie inside a clip.
        reset: True for the frames of the top tier at which a row starts a new clip.
        conditions: the conditioning of each row.
    """

    tokens: Int32[np.ndarray, "batch time"]
    mask: Bool[np.ndarray, "batch targets"]
    reset: Bool[np.ndarray, "batch frames"]
    conditions: Conditions = ()


class Piece(NamedTuple):
    """Samples [start, stop) of a clip, which are the targets of a row from `at` on."""

    row: int
    at: int
    clip: int
    start: int
    stop: int


def assign_clips(
    lengths: Int[np.ndarray, " num_clips"],
    batch_size: int,
    seq_len: int,
    frame_size: int,
    overlap: int,
    order: Iterator[int],
    start_step: int = 0,
) -> Iterator[list[Piece]]:
    """Assigns clips to rows: the row that ends first takes the next clip of the order.

    Args:
        lengths: the number of samples in each clip.
        batch_size: the number of rows.
        seq_len: the number of targets in a segment, a multiple of `frame_size`.
        frame_size: the number of samples of which the beginnings of clips are multiples.
        overlap: the number of silent samples in front of a clip that does not begin a segment.
        order: the clips in the order in which they are taken.
        start_step: the number of steps to leave out; the result is the same as that of iterating
            over them.

    Yields:
        The pieces of each step, until all rows are finished.
    """
    rows: list[list[tuple[int, int]]] = [[] for _ in range(batch_size)]  # (position, clip)
    ends = [(0, row) for row in range(batch_size)]  # a heap: where the next clip may begin
    for step in itertools.count(start_step):
        first, last = step * seq_len, (step + 1) * seq_len
        while ends and ends[0][0] < last:
            position, row = heapq.heappop(ends)
            clip = next(order, None)
            if clip is None:
                continue
            end = position + int(lengths[clip])
            if end > first:
                rows[row].append((position, clip))
            aligned = -(-end // frame_size) * frame_size + overlap
            heapq.heappush(ends, (min(aligned, -(-end // seq_len) * seq_len), row))
        pieces = []
        for row, placed in enumerate(rows):
            for position, clip in placed:
                begin, end = max(position, first), min(position + int(lengths[clip]), last)
                pieces.append(Piece(row, begin - first, clip, begin - position, end - position))
            rows[row] = [(p, clip) for p, clip in placed if p + int(lengths[clip]) > last]
        if not pieces:
            return
        yield pieces


def cut(
    split: Split,
    pieces: Sequence[Piece],
    rows: range,
    seq_len: int,
    model: ArchitectureConfig,
) -> Segment:
    """Returns the segment of some rows of the batch, quantized."""
    overlap, frame_size = model.overlap, model.top_frame_size
    tokens = np.full((len(rows), overlap + seq_len), model.q_zero, np.int32)
    mask = np.zeros((len(rows), seq_len), bool)
    reset = np.zeros((len(rows), seq_len // frame_size), bool)
    for piece in pieces:
        if piece.row not in rows:
            continue
        row, at = piece.row - rows.start, piece.at
        context = min(piece.start, overlap)
        stop = at + piece.stop - piece.start
        tokens[row, overlap + at - context : overlap + stop] = split.tokens(
            piece.clip, piece.start - context, piece.stop, model
        )
        mask[row, at:stop] = True
        if piece.start == 0:
            reset[row, at // frame_size] = True
    return Segment(tokens, mask, reset)


def training_segments(
    split: Split,
    batch_size: int,
    seq_len: int,
    model: ArchitectureConfig,
    seed: int,
    start_step: int,
    rows: range | None = None,
) -> Iterator[Segment]:
    """Yields the segments of steps start_step, start_step + 1, ... without end.

    Args:
        split: the clips.
        batch_size: the number of rows in the whole batch.
        seq_len: the number of targets in a segment.
        model: the configuration of the model, which determines tokens, overlap and frames.
        seed: the seed of the order of the clips.
        start_step: the first step.
        rows: the rows to read, such as those of one host; None for all.

    Raises:
        ValueError: seq_len is not a multiple of the top frame size.
    """
    return _segments(
        split, batch_size, seq_len, model, split.training_order(seed), start_step, rows
    )


def evaluation_segments(
    split: Split,
    batch_size: int,
    seq_len: int,
    model: ArchitectureConfig,
    rows: range | None = None,
) -> Iterator[Segment]:
    """Yields segments that hold every sample of every clip exactly once as an unmasked target."""
    return _segments(split, batch_size, seq_len, model, split.evaluation_order(), 0, rows)


def _segments(
    split: Split,
    batch_size: int,
    seq_len: int,
    model: ArchitectureConfig,
    order: Iterator[int],
    start_step: int,
    rows: range | None,
) -> Iterator[Segment]:
    frame_size, overlap = model.top_frame_size, model.overlap
    require(
        seq_len % frame_size == 0,
        f"seq_len={seq_len}: must be a multiple of the top frame size {frame_size}",
    )
    steps = assign_clips(split.lengths, batch_size, seq_len, frame_size, overlap, order, start_step)
    mine = range(batch_size) if rows is None else rows
    return (cut(split, pieces, mine, seq_len, model) for pieces in steps)


def prefetch(items: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """Yields the items, computed up to `depth` ahead by a thread that ends with the generator.

    Close the generator (`contextlib.closing`) where it is not exhausted.
    """
    ready: queue.Queue[T | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def put(entry: T | _End) -> None:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=0.1)
                break
            except queue.Full:
                continue

    def work() -> None:
        error = None
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    break
        except Exception as caught:
            error = caught
        put(_End(error))

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    try:
        while not isinstance(entry := ready.get(), _End):
            yield entry
        if entry.error is not None:
            raise entry.error
    finally:
        stopped.set()
        thread.join()


class _End(NamedTuple):
    """The last item from a prefetching thread, with its error, if any."""

    error: Exception | None
