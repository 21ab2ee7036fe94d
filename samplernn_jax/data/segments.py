"""Clips -> segments: the data order, a pure function of (clip lengths, seed, step).

Every row of the batch walks its own clip, segment after segment, and takes the next clip of the
order when it reaches the end; epochs follow each other without a seam, so no row ever waits and
nothing is dropped. What a clip's last segment lacks is masked.
"""

import heapq
import itertools
import queue
import threading
from collections.abc import Generator, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64

from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.data.dataset import Split

T = TypeVar("T")


class Segment(NamedTuple):
    """One step's input.

    Attributes:
        tokens: the overlap, then the targets; q_zero outside the clip.
        mask: which targets lie inside the clip.
        reset: which rows start a new clip.
    """

    tokens: Int32[np.ndarray, "batch time"]
    mask: Bool[np.ndarray, "batch targets"]
    reset: Bool[np.ndarray, " batch"]


class Positions(NamedTuple):
    """Where each row of the batch is in one step; clip -1 is a row that has nothing left."""

    clip: Int64[np.ndarray, " batch"]
    segment: Int64[np.ndarray, " batch"]


def schedule(
    lengths: Int[np.ndarray, " num_clips"],
    batch_size: int,
    seq_len: int,
    order: Iterator[int],
    start_step: int = 0,
) -> Iterator[Positions]:
    """Assigns clips to rows: a row that is free takes the next one of the order.

    Args:
        lengths: samples of each clip.
        batch_size: number of rows.
        seq_len: targets of a segment.
        order: the clips in the order in which they are taken.
        start_step: steps to leave out; the clips taken in them are still counted, so the result
            is the same as iterating over them.

    Yields:
        The positions of each step, until all rows have nothing left.
    """
    num_segments = -(-lengths // seq_len)
    clip = np.full(batch_size, -1, np.int64)
    began = np.zeros(batch_size, np.int64)
    free_rows = [(0, row) for row in range(batch_size)]  # a heap of (step, row)
    for step in itertools.count(start_step):
        while free_rows and free_rows[0][0] <= step:
            free_at, row = heapq.heappop(free_rows)
            clip[row] = next(order, -1)
            if clip[row] >= 0:
                began[row] = free_at
                heapq.heappush(free_rows, (free_at + int(num_segments[clip[row]]), row))
        if not free_rows:
            return
        yield Positions(clip.copy(), np.where(clip >= 0, step - began, 0))


def cut(split: Split, positions: Positions, seq_len: int, model: ArchitectureConfig) -> Segment:
    """The segment at the given positions of a split, quantized."""
    batch, overlap = len(positions.clip), model.overlap
    tokens = np.full((batch, overlap + seq_len), model.q_zero, np.int32)
    mask = np.zeros((batch, seq_len), bool)
    for row, (clip, segment) in enumerate(np.stack(positions, axis=1).tolist()):
        if clip < 0:
            continue
        first = segment * seq_len
        start = max(first - overlap, 0)
        stop = min(first + seq_len, int(split.lengths[clip]))
        into = start - (first - overlap)
        tokens[row, into : into + stop - start] = split.tokens(clip, start, stop, model)
        mask[row, : stop - first] = True
    return Segment(tokens, mask, positions.segment == 0)


def training_segments(
    split: Split,
    batch_size: int,
    seq_len: int,
    model: ArchitectureConfig,
    seed: int,
    start_step: int,
) -> Iterator[Segment]:
    """The segments of steps start_step, start_step + 1, ... without end.

    Raises:
        ValueError: every clip of the split is shorter than a segment.
    """
    longest = int(split.lengths.max())
    if longest < seq_len:
        raise ValueError(
            f"seq_len={seq_len}: longer than every clip of split {split.name}, the longest of "
            f"which has {longest} samples"
        )
    order = split.training_order(seed)
    positions = schedule(split.lengths, batch_size, seq_len, order, start_step)
    return (cut(split, step, seq_len, model) for step in positions)


def evaluation_segments(
    split: Split, batch_size: int, seq_len: int, model: ArchitectureConfig
) -> Iterator[Segment]:
    """Segments that hold every sample of every clip exactly once as an unmasked target."""
    positions = schedule(split.lengths, batch_size, seq_len, split.evaluation_order())
    return (cut(split, step, seq_len, model) for step in positions)


def prefetch(items: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items, computed up to `depth` ahead by a thread that ends with the generator.

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
    """The last thing that a prefetching thread hands over."""

    error: Exception | None
