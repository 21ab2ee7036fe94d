"""An endless generation: block after block, in constant memory, saved and resumed to the sample."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int, UInt32

from samplernn_jax import quantization
from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.devices import Step, map_step, pad_rows, shard_rows
from samplernn_jax.losses import token_bits
from samplernn_jax.models.fold import Folded
from samplernn_jax.sampling.engines.scan import DecodeState, advance, decode
from samplernn_jax.sampling.schedules import at
from samplernn_jax.sampling.snapshots import Snapshot, save_snapshot
from samplernn_jax.sampling.strategies import Strategy, sample_token

Audio = Float32[np.ndarray, "num_sequences num_samples"]


class Voice(NamedTuple):
    """A model ready to be sampled from.

    Attributes:
        config: of the model.
        sample_rate_hz: of its audio.
        folded: its weights, on every device of the mesh.
        mesh: the devices over which the sequences are spread.
        fingerprint: tells models apart.
    """

    config: ArchitectureConfig
    sample_rate_hz: int
    folded: Folded
    mesh: Mesh
    fingerprint: str


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
        voice: Voice,
        snapshot: Snapshot,
        block_len: int,
        prompts: tuple[np.ndarray, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        """Continues where the snapshot was taken; `Generator.stream` makes these."""
        self.sample_rate_hz = voice.sample_rate_hz
        self.prompts, self.notes = prompts, notes
        self.numbers, self.settings, self.block_len = snapshot.numbers, snapshot.settings, block_len
        self._voice = voice
        self._fetched = [(snapshot.tokens, snapshot.bits)]
        self.bits = snapshot.bits[:, :0]
        self._state, self._settings = shard_rows(
            voice.mesh, pad_rows(voice.mesh, (snapshot.state, snapshot.settings))
        )
        self._decoded: tuple[Array, Array] | None = None  # tokens and bits, still on the devices
        num_frames = -(-block_len // voice.config.top_frame_size)
        self._step = _block_step(
            voice.mesh, num_frames, voice.sample_rate_hz, voice.config.matmul_precision
        )

    def __next__(self) -> Audio:
        """The next block."""
        return self.take(self.block_len)

    def take(self, num_samples: int) -> Audio:
        """The next so many samples, [num_sequences, num_samples]; `bits` are theirs.

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
        return quantization.decode(tokens, self._voice.config.q_levels, self._voice.config.q_type)

    def blocks(self, num_samples: int) -> Iterator[Audio]:
        """The next so many samples in blocks, of which the last may be shorter."""
        for first in range(0, num_samples, self.block_len):
            yield self.take(min(self.block_len, num_samples - first))

    def _decode(self) -> None:
        """Unless the last time was interrupted before the block could be fetched."""
        if self._decoded is None:
            _, results = self._step(self._voice.folded, self._state, self._settings)
            self._state, self._decoded = results[0], results[1:]

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
        state = jax.tree.map(lambda x: x[: len(self.numbers)], self._state)
        snapshot = Snapshot(self.numbers, state, self.settings, tokens, bits)
        save_snapshot(Path(path), snapshot, self.block_len, self._voice.fingerprint)


@functools.cache
def _block_step(mesh: Mesh, num_frames: int, sample_rate_hz: int, precision: str) -> Step:
    """(folded model, state, settings) -> ((), (state, tokens, bits)), on the devices of a mesh."""

    def step(folded: Folded, state: DecodeState, settings: Strategy) -> tuple[tuple, Any]:
        frame_size = state.window.shape[1]
        uniform = block_noise(state.keys, state.position, num_frames, frame_size)
        times_s = block_times(state.position, num_frames, frame_size) / sample_rate_hz
        strategy = Strategy(*(points and at(points, times_s) for points in settings))
        return (), decode(folded, state, (uniform, strategy), choose, precision)

    return map_step(step, mesh, "shard_map", donate=(1,))


def choose(
    logits: Float[Array, "batch q_levels"], inputs: tuple[Array, Strategy]
) -> tuple[Int[Array, " batch"], Float32[Array, " batch"]]:
    """Tokens by a uniform number and a strategy, and their bits under the model itself."""
    uniform, strategy = inputs
    tokens = sample_token(logits, uniform, strategy)
    return tokens, token_bits(logits, tokens).astype(jnp.float32)


def block_noise(
    keys: Array, position: Array, num_frames: int, frame_size: int
) -> Float32[Array, "batch time"]:
    """Uniform numbers that depend on nothing but a sequence's key and a top frame's position."""

    def frame_noise(key: Array, frame: Array) -> Array:
        for word in frame:
            key = jax.random.fold_in(key, word)
        return jax.random.uniform(key, (frame_size,), jnp.float32)

    over_frames = jax.vmap(frame_noise, in_axes=(None, 0))
    frames = _block_frames(position, num_frames)
    return jax.vmap(over_frames)(keys, frames).reshape(len(position), -1)


def block_times(position: Array, num_frames: int, frame_size: int) -> Float32[Array, "batch time"]:
    """When each sample of a block comes, in samples; rounded alike however long the blocks are."""
    high, low = jnp.moveaxis(_block_frames(position, num_frames).astype(jnp.float32), -1, 0)
    first = (high * 2.0**32 + low) * frame_size
    within = jnp.arange(frame_size, dtype=jnp.float32)[None, None]
    return (first[:, :, None] + within).reshape(len(position), -1)


def _block_frames(position: Array, num_frames: int) -> UInt32[Array, "batch num_frames 2"]:
    """The positions of a block's top frames."""
    return advance(position[:, None], jnp.arange(num_frames, dtype=jnp.uint32)[None])
