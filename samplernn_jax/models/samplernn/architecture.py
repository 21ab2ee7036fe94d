"""SampleRNN behind the `Architecture` protocol."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from samplernn_jax.models.samplernn import sizes, steps
from samplernn_jax.models.samplernn.config import ModelConfig
from samplernn_jax.models.samplernn.fold import Folded, fold
from samplernn_jax.models.samplernn.module import SampleRNN, independent_logits, initial_carry
from samplernn_jax.models.types import (
    Carry,
    Choose,
    Conditions,
    FrameInputs,
    Params,
    Predictions,
)


@dataclasses.dataclass(frozen=True)
class SampleRNNArchitecture:
    """The tier stack, or the RNN over samples where `frame_sizes` is ()."""

    config: ModelConfig

    has_states = True

    def init(self, key: Array) -> Params:
        """Returns fresh parameters."""
        tokens = jnp.zeros((1, self.config.overlap + self.config.top_frame_size), jnp.int32)
        return SampleRNN(self.config).init(key, tokens)["params"]

    def initial_carry(self, params: Params, batch_size: int) -> Carry:
        """Returns the states h0 of every tier that has an RNN."""
        return initial_carry(self.config, params, batch_size)

    def apply(
        self,
        params: Params,
        tokens: Int[Array, "batch time"],
        carry: Carry | None = None,
        reset: Bool[Array, " batch"] | Bool[Array, "batch frames"] | None = None,
        conditions: Conditions = (),
    ) -> Predictions:
        """See `SampleRNN.__call__`."""
        (logits, carry), collected = SampleRNN(self.config).apply(
            {"params": params}, tokens, carry, reset, conditions, mutable=["intermediates"]
        )
        if not self.config.independent_preds:
            return Predictions(logits, carry)
        independent = independent_logits(self.config, collected["intermediates"])
        return Predictions(logits, carry, independent)

    def fold(self, params: Params) -> Folded:
        """See `samplernn.fold`."""
        return fold(self.config, params)

    def decode_carry(self, params: Params, context: Int[Array, "batch overlap"]) -> Carry:
        """Returns the states h0, as the window already holds the context."""
        return self.initial_carry(params, len(context))

    def to_memory(self, carry: Carry) -> steps.TierStates:
        """Returns the states in columns."""
        return steps.to_memory(self.config, carry)

    def to_carry(self, memory: steps.TierStates, num_frames: int) -> Carry:
        """Returns the states in rows."""
        del num_frames
        return steps.to_carry(self.config, memory)

    def decode_frame(
        self, folded: Any, memory: steps.TierStates, frame: FrameInputs, choose: Choose
    ) -> tuple[steps.TierStates, Int[Array, "size batch"], Any]:
        """Generates the samples of one frame; no tier reads `frame.conditions` yet."""
        decode = steps.decode_top_frame if self.config.frame_sizes else steps.decode_sample
        return decode(folded, frame.window, memory, frame.inputs, choose)

    @property
    def num_parameters(self) -> int:
        """See `samplernn.sizes`."""
        return sizes.num_parameters(self.config)

    @property
    def state_size(self) -> int:
        """See `samplernn.sizes`."""
        return sizes.state_size(self.config)

    def bytes_per_sample(self, folded: Any) -> float:
        """See `samplernn.sizes`."""
        count = sizes.tier_stack_bytes if self.config.frame_sizes else sizes.only_tier_bytes
        return count(folded)

    def flop_per_sample(self, batch_size: int, seq_len: int) -> float:
        """See `samplernn.sizes`."""
        return sizes.flop_per_sample(self.config, batch_size * seq_len)
