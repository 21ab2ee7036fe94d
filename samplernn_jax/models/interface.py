"""What the rest of the program knows of a model: the protocol that every architecture fulfils.

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
    """A model's functions, bound to its configuration."""

    @property
    def has_states(self) -> bool:
        """Whether it carries RNN states; without them it knows nothing but its overlap."""
        ...

    def init(self, key: Array) -> Params:
        """Fresh parameters."""
        ...

    def initial_carry(self, params: Params, batch_size: int) -> Carry:
        """The carry in front of a clip."""
        ...

    def apply(
        self,
        params: Params,
        tokens: Int[Array, "batch time"],
        carry: Carry | None = None,
        reset: Bool[Array, " batch"] | Bool[Array, "batch frames"] | None = None,
        conditions: Conditions = (),
    ) -> Predictions:
        """Predicts every token of a segment from all before it.

        Args:
            params: the parameters.
            tokens: int32. The first `config.overlap` are context, the rest are targets.
            carry: of the segment before; None for the one in front of a clip.
            reset: rows that start a new clip, or for each row the frames of the top tier at which
                one starts; None continues every row.
            conditions: what each row is conditioned on.
        """
        ...

    def fold(self, params: Params) -> Any:
        """The equivalent model for decoding: a pytree of numpy arrays."""
        ...

    def decode_carry(self, params: Params, context: Int[Array, "batch overlap"]) -> Any:
        """What decoding carries behind the overlap with which a clip begins, [batch, ...]."""
        ...

    def to_memory(self, carry: Any) -> Memory:
        """The carry of decoding, as `decode_frame` has it."""
        ...

    def to_carry(self, memory: Memory, num_frames: int) -> Any:
        """The reverse of `to_memory`, after `num_frames` frames of the top tier."""
        ...

    def decode_frame(
        self, folded: Any, memory: Any, frame: FrameInputs, choose: Choose
    ) -> tuple[Memory, Int[Array, "size batch"], Any]:
        """Generates the samples of one frame of the top tier.

        Args:
            folded: the model, from `fold`.
            memory: after the frame before.
            frame: what else it is given.
            choose: picks the tokens.

        Returns:
            The memory after it, the tokens, and what `choose` kept, [size, batch, ...].
        """
        ...

    @property
    def num_parameters(self) -> int:
        """The number of parameters."""
        ...

    @property
    def state_size(self) -> int:
        """The numbers in a sequence's state while it is sampled."""
        ...

    def bytes_per_sample(self, folded: Any) -> float:
        """Bytes of weights that decoding reads for one sample of each sequence, without caches."""
        ...

    def flop_per_sample(self, batch_size: int, seq_len: int) -> float:
        """FLOP of the matrix products of a training step, per target of its segments."""
        ...


_ARCHITECTURES: dict[type, Callable[[Any], Architecture]] = {
    ModelConfig: SampleRNNArchitecture,
    WaveNetConfig: WaveNetArchitecture,
}


def architecture(config: ArchitectureConfig) -> Architecture:
    """The model of a configuration."""
    return _ARCHITECTURES[type(config)](config)


def init_params(config: ArchitectureConfig, key: Array) -> Params:
    """Fresh parameters."""
    return architecture(config).init(key)


def abstract_params(config: ArchitectureConfig) -> Params:
    """The shapes and types of the parameters, without computing them."""
    return jax.tree.map(lambda shape: shape, _abstract_params(config))


@functools.cache
def _abstract_params(config: ArchitectureConfig) -> Params:
    return jax.eval_shape(architecture(config).init, jax.random.key(0))


def initial_carry(config: ArchitectureConfig, params: Params, batch_size: int) -> Carry:
    """The carry in front of a clip."""
    return architecture(config).initial_carry(params, batch_size)
