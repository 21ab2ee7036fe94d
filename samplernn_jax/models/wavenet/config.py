"""The shape of a WaveNet."""

import dataclasses
from typing import ClassVar

from samplernn_jax.checks import require, require_one_of, require_positive
from samplernn_jax.models.options import (
    MATMUL_PRECISIONS,
    Products,
    check_num_layers,
    check_quantization,
)

OUTPUT_ACTIVATIONS = ("relu", "none")


@dataclasses.dataclass(frozen=True)
class WaveNetConfig:
    """The shape of the paper's WaveNet re-implementation (models/one_tier/wavent.py).

    Attributes:
        num_blocks: the number of blocks of dilated layers.
        layers_per_block: the number of layers in a block, with dilations 1, 2, 4, ...
        dim: the number of channels of every layer.
        output_activation: the activation of the three layers before the logits: "relu" as in the
            paper by van den Oord et al., or "none" as in the original, whose code forgets it.
        q_levels: the number of quantization levels.
        q_type: "linear", "mu-law" or "a-law"; the last two need 256 levels.
        matmul_precision: see `ModelConfig`.
    """

    architecture: ClassVar[str] = "wavenet"
    independent_preds: ClassVar[bool] = False  # it has no tier that could make them

    num_blocks: int = 4
    layers_per_block: int = 10
    dim: int = 64
    output_activation: str = "relu"
    q_levels: int = 256
    q_type: str = "linear"
    matmul_precision: str = "highest"

    def __post_init__(self) -> None:
        require_positive(self, "num_blocks", "layers_per_block", "dim")
        layers = self.layers_per_block
        require(layers <= 20, f"layers_per_block={layers}: must be at most 20")
        check_num_layers(f"num_blocks={self.num_blocks}", self.num_blocks * layers)
        require_one_of(self, "output_activation", OUTPUT_ACTIVATIONS)
        require_one_of(self, "matmul_precision", MATMUL_PRECISIONS)
        check_quantization(self)

    @property
    def top_frame_size(self) -> int:
        """1, as a WaveNet predicts sample by sample, like a SampleRNN of one tier."""
        return 1

    @property
    def overlap(self) -> int:
        """The number of context samples in front of a segment, which a prediction depends on."""
        return self.num_blocks * (2**self.layers_per_block - 1) + 1

    @property
    def products(self) -> Products:
        """The precision of matrix products."""
        return Products(precision=self.matmul_precision)

    @property
    def q_zero(self) -> int:
        """The token of silence."""
        return self.q_levels // 2
