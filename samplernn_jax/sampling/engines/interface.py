"""The protocol that every engine fulfils: all that the rest of sampling knows of engines."""

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
    """The state of sequences, in a form that all engines share; all arrays begin with the batch.

    Attributes:
        window: int32 [batch, top_frame_size], the latest tokens; the top tier's next frame.
        carry: the carry before that frame, see `Architecture.decode_carry`.
        keys: the PRNG key of each sequence.
        position: uint32 [batch, 2], the number of top frames decoded so far, in two words, the
            high one first; key and position determine the noise.
    """

    window: Array
    carry: Any
    keys: Array
    position: Array


class Block(NamedTuple):
    """A decoded block, which the device may still be computing.

    Attributes:
        tokens: the tokens of the sequences; rows may follow that only fill up the devices.
        bits: the bits of each token under the model itself, whatever the strategy.
    """

    tokens: Int32[Array, "rows time"]
    bits: Float32[Array, "rows time"]


@runtime_checkable
class Engine(Protocol):
    """An engine, which decodes the tokens of one model, block after block.

    Equal states, settings and conditions give equal tokens, up to the rounding of the logits.
    """

    @property
    def config(self) -> ArchitectureConfig:
        """The model's configuration."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """The sample rate of the audio."""
        ...

    def begin(self, state: DecodeState, settings: Strategy, conditions: Conditions) -> Any:
        """Starts or resumes sequences.

        Args:
            state: the state of the sequences.
            settings: the `Points` of each setting of the strategy.
            conditions: the conditioning of each sequence.

        Returns:
            The running sequences in the engine's own form, for `decode`.
        """
        ...

    def decode(self, running: Any, num_frames: int) -> tuple[Any, Block]:
        """Decodes a block of `num_frames` top frames; takes over the memory of `running`."""
        ...

    def state(self, running: Any) -> DecodeState:
        """Returns the present state of the sequences, to be saved."""
        ...


Prepare = Callable[[ArchitectureConfig, Params, int, Sequence[jax.Device]], Engine]
"""(config, params, sample_rate_hz, devices over which sequences are spread) -> engine."""


def first_state(
    config: ArchitectureConfig, params: Params, context: Int[Array, "batch overlap"], keys: Array
) -> DecodeState:
    """Returns the state after the overlap with which a clip begins.

    Args:
        config: the model's configuration.
        params: the model's parameters, as in training.
        context: the overlap's tokens.
        keys: the PRNG key of each sequence.
    """
    window = context[:, config.overlap - config.top_frame_size :]
    carry = architecture(config).decode_carry(params, context)
    return DecodeState(window, carry, keys, jnp.zeros((len(context), 2), jnp.uint32))
