"""The shape of a SampleRNN."""

import dataclasses
import itertools
from typing import ClassVar

from samplernn_jax.checks import (
    require,
    require_32_bits,
    require_not_negative,
    require_one_of,
    require_positive,
)
from samplernn_jax.models.options import (
    DTYPES,
    MATMUL_PRECISIONS,
    Products,
    check_num_layers,
    check_quantization,
)

RNN_TYPES = ("gru", "lstm")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The shape of a SampleRNN (paper section 2; options as in the original's command line).

    Attributes:
        frame_sizes: the frame sizes of tiers 2, 3, ... K, from the bottom up, in samples. Each is
            a multiple of the one below. () is the 1-tier baseline, an RNN over samples.
        dim: the width of every tier.
        n_rnn: the number of stacked RNN layers in each tier that has an RNN; at most 200 layers in
            all tiers.
        rnn_type: "gru" or "lstm".
        skip_conn: add Graves-style skip connections between stacked layers (needs n_rnn > 1).
        learn_h0: train the initial RNN states; False keeps them as they are, which is zero except
            in imported models.
        weight_norm: apply weight normalization to every linear map.
        emb_size: the size of a token's embedding; 0 means one-hot.
        q_levels: the number of quantization levels, at most 65,536.
        q_type: "linear", "mu-law" or "a-law"; the last two need 256 levels.
        dtype: the type of the factors of matrix products, "float32" or "bfloat16"; parameters,
            states, the values between products and the loss are always float32. It applies where
            the model is run as in training: in evaluation, over prompts and for scores. The
            sampler always decodes with float32 factors.
        independent_preds: give the top tier a second output that predicts all samples of its next
            frame independently of each other (`IndependentPreds` of the original).
        matmul_precision: the precision of products with float32 factors, also in the sampler.
            "highest" is float32 on every device; "default" is the fastest precision, which is
            bfloat16 on TPUs and TF32 on recent GPUs.
    """

    architecture: ClassVar[str] = "samplernn"

    frame_sizes: tuple[int, ...] = (2, 8)
    dim: int = 1024
    n_rnn: int = 1
    rnn_type: str = "gru"
    skip_conn: bool = False
    learn_h0: bool = True
    weight_norm: bool = True
    emb_size: int = 256
    q_levels: int = 256
    q_type: str = "linear"
    independent_preds: bool = False
    dtype: str = "float32"
    matmul_precision: str = "highest"

    def __post_init__(self) -> None:
        sizes = self.frame_sizes
        require(min(sizes, default=1) > 0, f"frame_sizes={sizes}: each must be greater than 0")
        for below, above in itertools.pairwise(sizes):
            require(
                above % below == 0,
                f"frame_sizes={sizes}: each must be a multiple of the one below, which comes first",
            )
        require_32_bits("frame_sizes", max(sizes, default=1))
        require_positive(self, "dim", "n_rnn")
        require_not_negative(self, "emb_size")
        check_num_layers(f"n_rnn={self.n_rnn}", self.n_rnn * max(1, len(sizes)))
        require_one_of(self, "rnn_type", RNN_TYPES)
        require_one_of(self, "dtype", DTYPES)
        require_one_of(self, "matmul_precision", MATMUL_PRECISIONS)
        check_quantization(self)
        require(
            not self.skip_conn or self.n_rnn > 1,
            f"skip_conn=True: needs n_rnn of at least 2, got n_rnn={self.n_rnn}",
        )
        require(
            not self.independent_preds or len(sizes) > 0,
            "independent_preds=True: needs a frame-level tier, got frame_sizes=()",
        )

    @property
    def top_frame_size(self) -> int:
        """The number of samples in the top tier's frame; 1 where there is only one tier."""
        return self.frame_sizes[-1] if self.frame_sizes else 1

    @property
    def overlap(self) -> int:
        """The number of context samples in front of a segment."""
        return self.top_frame_size

    @property
    def products(self) -> Products:
        """The precision of matrix products; the sampler always decodes with float32 factors."""
        return Products(self.dtype, self.matmul_precision)

    @property
    def q_zero(self) -> int:
        """The token of silence."""
        return self.q_levels // 2
