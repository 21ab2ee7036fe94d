"""What the rest of sampling knows of an engine: the protocol that every one fulfils."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int, Int32

from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.models.interface import architecture
from samplernn_jax.models.types import Conditions, Params
from samplernn_jax.sampling.strategies import Strategy


class DecodeState(NamedTuple):
    """Where sequences are, in the form that all engines share; all arrays begin with the batch.

    Attributes:
        window: int32 [batch, top_frame_size], the latest tokens; the top tier's next frame.
        carry: before that frame, see `Architecture.decode_carry`.
        keys: one PRNG key per sequence.
        position: uint32 [batch, 2], top frames decoded so far, in two words, the high one first;
            with a key it determines the noise.
    """

    window: Array
    carry: Any
    keys: Array
    position: Array


class Block(NamedTuple):
    """A decoded block, which may still be on its way.

    Attributes:
        tokens: of at least the rows of the sequences.
        bits: of each token under the model itself, whatever the strategy.
    """

    tokens: Int32[Array, "rows time"]
    bits: Float32[Array, "rows time"]


@runtime_checkable
class Engine(Protocol):
    """Decodes tokens from one model, block after block.

    Equal states, settings and conditions give equal tokens, up to the rounding of the logits.
    """

    @property
    def config(self) -> ArchitectureConfig:
        """Of the model."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """Of the audio."""
        ...

    def begin(self, state: DecodeState, settings: Strategy, conditions: Conditions) -> Any:
        """Starts or resumes sequences.

        Args:
            state: where they are.
            settings: the `Points` of each setting of the strategy.
            conditions: what each sequence is conditioned on.

        Returns:
            The engine's own form of all this, for `decode`.
        """
        ...

    def decode(self, running: Any, num_frames: int) -> tuple[Any, Block]:
        """Decodes a block of `num_frames` frames of the top tier; takes over `running`."""
        ...

    def state(self, running: Any) -> DecodeState:
        """Where the sequences are now, to be saved."""
        ...


Prepare = Callable[[ArchitectureConfig, Params, int, Sequence[jax.Device]], Engine]
"""(config, params, sample_rate_hz, devices over which sequences are spread) -> engine."""


def first_state(
    config: ArchitectureConfig, params: Params, context: Int[Array, "batch overlap"], keys: Array
) -> DecodeState:
    """The state behind the overlap with which a clip begins.

    Args:
        config: of the model.
        params: its parameters, as in training.
        context: the overlap's tokens.
        keys: one PRNG key per sequence.
    """
    window = context[:, config.overlap - config.top_frame_size :]
    carry = architecture(config).decode_carry(params, context)
    return DecodeState(window, carry, keys, jnp.zeros((len(context), 2), jnp.uint32))
