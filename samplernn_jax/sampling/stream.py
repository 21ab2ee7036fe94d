"""An endless generation: block after block, in constant memory, saved and resumed to the sample."""

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
    """Iterates over blocks of audio, float32 [num_sequences, block_len], and never ends.

    Attributes:
        sample_rate_hz: of the audio.
        numbers: of the sequences, int [num_sequences].
        settings: the `Points` of the strategy that they are drawn with.
        block_len: samples of a block.
        prompts: what each sequence continues, as the model heard it; () without prompts.
        notes: what the user may want to know about the prompts, a sentence each.
        bits: float32 [num_sequences, num_samples], bits of each sample that was given last, under
            the model, whatever the strategy that it was drawn with.
    """

    def __init__(
        self,
        engine: Engine,
        snapshot: Snapshot,
        prompts: tuple[np.ndarray, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        """Continues where the snapshot was taken; `Generator.stream` makes these."""
        self.sample_rate_hz = engine.sample_rate_hz
        self.prompts, self.notes = prompts, notes
        self.numbers, self.settings = snapshot.numbers, snapshot.settings
        self.block_len = snapshot.block_len
        self._engine, self._snapshot = engine, snapshot
        self._fetched = [(snapshot.tokens, snapshot.bits)]
        self.bits = snapshot.bits[:, :0]
        self._running = engine.begin(snapshot.state, snapshot.settings, snapshot.conditions)
        self._decoded: Block | None = None  # still on the devices
        self._num_frames = -(-self.block_len // engine.config.top_frame_size)

    def __next__(self) -> Audio:
        """The next block."""
        return self.take(self.block_len)

    def take(self, num_samples: int) -> Audio:
        """The next `num_samples` samples, [num_sequences, num_samples]; `bits` are theirs.

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
        """The next `num_samples` samples in blocks, of which the last may be shorter."""
        for first in range(0, num_samples, self.block_len):
            yield self.take(min(self.block_len, num_samples - first))

    def _decode(self) -> None:
        """Dispatches a block, unless an interruption left one that was not fetched."""
        if self._decoded is None:
            self._running, self._decoded = self._engine.decode(self._running, self._num_frames)

    def _fetch(self) -> int:
        """Waits for what was decoded, and gives its number of samples."""
        if self._decoded is None:
            return 0
        tokens, bits = (np.asarray(x)[: len(self.numbers)] for x in self._decoded)
        self._fetched, self._decoded = [*self._fetched, (tokens, bits)], None
        return tokens.shape[1]

    def _joined(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and bits that were fetched and not yet taken."""
        tokens, bits = (np.concatenate(parts, axis=1) for parts in zip(*self._fetched, strict=True))
        return tokens, bits

    def save(self, path: str | Path) -> None:
        """Writes a file from which `Generator.resume` goes on with the very next sample."""
        self._fetch()
        tokens, bits = self._joined()
        state = self._engine.state(self._running)
        save_snapshot(Path(path), self._snapshot._replace(state=state, tokens=tokens, bits=bits))
