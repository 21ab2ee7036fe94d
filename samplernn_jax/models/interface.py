"""The protocol that every architecture fulfils: all that the rest of the program knows of models.

A new architecture is a room beside `samplernn` and `wavenet`, a line in `ArchitectureConfig` and a
line in `_ARCHITECTURES`.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Bool, Int

from samplernn_jax.models.samplernn.architecture import SampleRNNArchitecture
from samplernn_jax.models.samplernn.config import ModelConfig
from samplernn_jax.models.types import (
    Carry,
    Choose,
    Conditions,
    FrameInputs,
    Memory,
    Params,
    Predictions,
)
from samplernn_jax.models.wavenet.architecture import WaveNetArchitecture
from samplernn_jax.models.wavenet.config import WaveNetConfig

ArchitectureConfig = ModelConfig | WaveNetConfig


@runtime_checkable
class Architecture(Protocol):
    """The functions of a model, bound to its configuration."""

    @property
    def has_states(self) -> bool:
        """Whether the model carries RNN states; without them it sees only its overlap."""
        ...

    def init(self, key: Array) -> Params:
        """Returns fresh parameters."""
        ...

    def initial_carry(self, params: Params, batch_size: int) -> Carry:
        """Returns the carry before a clip."""
        ...

    def apply(
        self,
        params: Params,
        tokens: Int[Array, "batch time"],
        carry: Carry | None = None,
        reset: Bool[Array, " batch"] | Bool[Array, "batch frames"] | None = None,
        conditions: Conditions = (),
    ) -> Predictions:
        """Predicts every target of a segment from all tokens before it.

        Args:
            params: the parameters.
            tokens: int32 tokens. The first `config.overlap` are context, the rest are targets.
            carry: the carry after the segment before; None for the carry before a clip.
            reset: the rows that start a new clip, or for each row the frames of the top tier at
                which one starts; None continues every row.
            conditions: the conditioning of each row.
        """
        ...

    def fold(self, params: Params) -> Any:
        """Returns the equivalent model for decoding, a pytree of numpy arrays."""
        ...

    def decode_carry(self, params: Params, context: Int[Array, "batch overlap"]) -> Any:
        """Returns the carry for decoding after the overlap of a clip, [batch, ...]."""
        ...

    def to_memory(self, carry: Any) -> Memory:
        """Returns the carry for decoding in the form that `decode_frame` uses."""
        ...

    def to_carry(self, memory: Memory, num_frames: int) -> Any:
        """Reverses `to_memory`, after `num_frames` frames of the top tier."""
        ...

    def decode_frame(
        self, folded: Any, memory: Any, frame: FrameInputs, choose: Choose
    ) -> tuple[Memory, Int[Array, "size batch"], Any]:
        """Generates the samples of one frame of the top tier.

        Args:
            folded: the folded model, from `fold`.
            memory: the memory after the frame before.
            frame: the other inputs of the frame.
            choose: picks the tokens.

        Returns:
            The memory after the frame, the tokens, and the values that `choose` kept, [size,
            batch, ...].
        """
        ...

    @property
    def num_parameters(self) -> int:
        """The number of parameters."""
        ...

    @property
    def state_size(self) -> int:
        """The number of values in a sequence's state while it is sampled."""
        ...

    def bytes_per_sample(self, folded: Any) -> float:
        """Returns the bytes of weights that decoding one sample reads, disregarding caches."""
        ...

    def flop_per_sample(self, batch_size: int, seq_len: int) -> float:
        """Returns the FLOP of a training step's matrix products, per target of its segments."""
        ...


_ARCHITECTURES: dict[type, Callable[[Any], Architecture]] = {
    ModelConfig: SampleRNNArchitecture,
    WaveNetConfig: WaveNetArchitecture,
}


def architecture(config: ArchitectureConfig) -> Architecture:
    """Returns the functions of the model with this configuration."""
    return _ARCHITECTURES[type(config)](config)


def init_params(config: ArchitectureConfig, key: Array) -> Params:
    """Returns fresh parameters."""
    return architecture(config).init(key)


def abstract_params(config: ArchitectureConfig) -> Params:
    """Returns the shapes and types of the parameters, without computing them."""
    return jax.tree.map(lambda shape: shape, _abstract_params(config))


@functools.cache
def _abstract_params(config: ArchitectureConfig) -> Params:
    return jax.eval_shape(architecture(config).init, jax.random.key(0))


def initial_carry(config: ArchitectureConfig, params: Params, batch_size: int) -> Carry:
    """Returns the carry before a clip."""
    return architecture(config).initial_carry(params, batch_size)
