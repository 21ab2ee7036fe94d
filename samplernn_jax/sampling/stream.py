"""Endless streams of audio: block after block, in constant memory, saved and resumed exactly."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from samplernn_jax import quantization
from samplernn_jax.checks import require
from samplernn_jax.sampling.engines.interface import Block, Engine
from samplernn_jax.sampling.snapshots import Snapshot, save_snapshot

Audio = Float32[np.ndarray, "num_sequences num_samples"]


class Stream(Iterator[Audio]):
    """An endless iterator over blocks of audio, float32 [num_sequences, block_len].

    Attributes:
        sample_rate_hz: the sample rate of the audio.
        numbers: the numbers of the sequences, int [num_sequences].
        settings: the `Points` of the strategy with which samples are drawn.
        block_len: the number of samples in a block.
        prompts: the prompt of each sequence, as the model heard it; () without prompts.
        notes: remarks about the prompts for the user, a sentence each.
        bits: float32 [num_sequences, num_samples], the bits of each sample that was returned last,
            under the model itself, whatever the strategy.
        options: the options of the job that began the stream, as JSON; saved with the state.
    """

    def __init__(
        self,
        engine: Engine,
        snapshot: Snapshot,
        prompts: tuple[np.ndarray, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        """Goes on from a snapshot; use `Generator.stream` or `Generator.resume` instead."""
        self.sample_rate_hz = engine.sample_rate_hz
        self.prompts, self.notes = prompts, notes
        self.numbers, self.settings = snapshot.numbers, snapshot.settings
        self.block_len, self.options = snapshot.block_len, snapshot.options
        self._engine, self._snapshot = engine, snapshot
        self._fetched = [(snapshot.tokens, snapshot.bits)]
        self.bits = snapshot.bits[:, :0]
        self._running = engine.begin(snapshot.state, snapshot.settings, snapshot.conditions)
        self._decoded: Block | None = None  # still on the devices
        self._num_frames = -(-self.block_len // engine.config.top_frame_size)

    def __next__(self) -> Audio:
        """Returns the next block."""
        return self.take(self.block_len)

    def take(self, num_samples: int) -> Audio:
        """Returns the next samples, [num_sequences, num_samples]; `bits` then has their bits.

        Raises:
            ValueError: num_samples is less than 1.
        """
        require(num_samples >= 1, f"num_samples={num_samples}: must be at least 1")
        num_fetched = sum(tokens.shape[1] for tokens, _ in self._fetched)
        while num_fetched < num_samples:
            self._decode()
            num_fetched += self._fetch()
        tokens, bits = self._joined()
        self._fetched = [(tokens[:, num_samples:], bits[:, num_samples:])]
        tokens, self.bits = tokens[:, :num_samples], bits[:, :num_samples]
        config = self._engine.config
        return quantization.decode(tokens, config.q_levels, config.q_type)

    def blocks(self, num_samples: int) -> Iterator[Audio]:
        """Yields the next `num_samples` samples in blocks; the last block may be shorter."""
        for first in range(0, num_samples, self.block_len):
            yield self.take(min(self.block_len, num_samples - first))

    def _decode(self) -> None:
        """Dispatches a block, unless an interruption left one that is not fetched yet."""
        if self._decoded is None:
            self._running, self._decoded = self._engine.decode(self._running, self._num_frames)

    def _fetch(self) -> int:
        """Waits for the decoded block, and returns its number of samples."""
        if self._decoded is None:
            return 0
        tokens, bits = (np.asarray(x)[: len(self.numbers)] for x in self._decoded)
        self._fetched, self._decoded = [*self._fetched, (tokens, bits)], None
        return tokens.shape[1]

    def _joined(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tokens and bits that were fetched and not yet taken."""
        tokens, bits = (np.concatenate(parts, axis=1) for parts in zip(*self._fetched, strict=True))
        return tokens, bits

    def save(self, path: str | Path) -> None:
        """Writes a file from which `Generator.resume` goes on with the very next sample."""
        self._fetch()
        tokens, bits = self._joined()
        state = self._engine.state(self._running)
        snapshot = self._snapshot._replace(
            state=state, tokens=tokens, bits=bits, options=self.options
        )
        save_snapshot(Path(path), snapshot)
