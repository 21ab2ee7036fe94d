"""WaveNet behind the `Architecture` protocol."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from samplernn_jax.models.types import (
    Carry,
    Choose,
    Conditions,
    FrameInputs,
    Params,
    Predictions,
)
from samplernn_jax.models.wavenet import sizes, steps
from samplernn_jax.models.wavenet.config import WaveNetConfig
from samplernn_jax.models.wavenet.fold import FoldedWaveNet, fold
from samplernn_jax.models.wavenet.module import Caches, WaveNet


@dataclasses.dataclass(frozen=True)
class WaveNetArchitecture:
    """The paper's WaveNet, which sees only its overlap."""

    config: WaveNetConfig

    has_states = False

    def init(self, key: Array) -> Params:
        """Returns fresh parameters."""
        tokens = jnp.zeros((1, self.config.overlap + 1), jnp.int32)
        # Every layer has shapes of its own; one by one they compile slowly.
        return jax.jit(WaveNet(self.config).init)(key, tokens)["params"]

    def initial_carry(self, params: Params, batch_size: int) -> Carry:
        """Returns an empty carry."""
        del params, batch_size
        return {}

    def apply(
        self,
        params: Params,
        tokens: Int[Array, "batch time"],
        carry: Carry | None = None,
        reset: Bool[Array, " batch"] | Bool[Array, "batch frames"] | None = None,
        conditions: Conditions = (),
    ) -> Predictions:
        """See `WaveNet.__call__`."""
        model = WaveNet(self.config)
        return Predictions(*model.apply({"params": params}, tokens, carry, reset, conditions))

    def fold(self, params: Params) -> FoldedWaveNet:
        """See `wavenet.fold`."""
        return fold(self.config, params)

    def decode_carry(self, params: Params, context: Int[Array, "batch overlap"]) -> Caches:
        """Returns the layers' caches after the context, whose last token is in the window."""
        return WaveNet(self.config).apply({"params": params}, context[:, :-1], method="caches")

    def to_memory(self, carry: Caches) -> Caches:
        """Returns the caches in columns."""
        return steps.to_memory(carry)

    def to_carry(self, memory: Caches, num_frames: int) -> Caches:
        """Returns the caches in rows, `num_frames` samples later."""
        return steps.to_caches(memory, num_frames)

    def decode_frame(
        self, folded: Any, memory: Caches, frame: FrameInputs, choose: Choose
    ) -> tuple[Caches, Int[Array, "1 batch"], Any]:
        """Generates one sample; no layer reads `frame.conditions` yet."""
        return steps.decode_sample(folded, frame.window, memory, frame.number, frame.inputs, choose)

    @property
    def num_parameters(self) -> int:
        """See `wavenet.sizes`."""
        return sizes.num_parameters(self.config)

    @property
    def state_size(self) -> int:
        """See `wavenet.sizes`."""
        return sizes.state_size(self.config)

    def bytes_per_sample(self, folded: Any) -> float:
        """See `wavenet.sizes`."""
        return sizes.bytes_per_sample(folded)

    def flop_per_sample(self, batch_size: int, seq_len: int) -> float:
        """See `wavenet.sizes`."""
        del batch_size
        return sizes.flop_per_sample(self.config, seq_len)
