"""Typed configuration: every value is checked here, once, where it enters.

A recipe in `configs/` returns an `ml_collections.ConfigDict`; `ExperimentConfig.from_mapping`
turns it into the frozen dataclasses below. Their `__post_init__` holds every rule about values,
so nothing further down has to check again.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import ml_collections

from samplernn_jax.checks import (
    require,
    require_32_bits,
    require_not_negative,
    require_one_of,
    require_positive,
)
from samplernn_jax.parsing import build
from samplernn_jax.storage import check_local

RNN_TYPES = ("gru", "lstm")
DTYPES = ("float32", "bfloat16")
MATMUL_PRECISIONS = ("highest", "default")
Q_TYPES = ("linear", "mu-law", "a-law")
OUTPUT_ACTIVATIONS = ("relu", "none")
NORMALIZATIONS = ("dataset", "legacy")
MAX_SEED = 2**31
MAPS = ("shard_map", "pmap")
SCHEDULES = ("constant", "cosine", "exponential")
MAX_Q_LEVELS = 2**16
MAX_LAYERS = 200


@dataclasses.dataclass(frozen=True)
class Products:
    """How a model multiplies matrices.

    Attributes:
        dtype: of the factors, "float32" or "bfloat16"; results are float32 in any case.
        precision: of float32 factors, "highest" or "default".
    """

    dtype: str = "float32"
    precision: str = "highest"


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The shape of a SampleRNN (paper section 2; options as in the original's command line).

    Attributes:
        frame_sizes: frame size of tiers 2, 3, ... K, from the bottom up, in samples. Each is a
            multiple of the one below. () is the 1-tier baseline, an RNN over samples.
        dim: width of every tier.
        n_rnn: stacked RNN layers in each tier that has an RNN; at most 200 layers in all.
        rnn_type: "gru" or "lstm".
        skip_conn: Graves-style skip connections between stacked layers (needs n_rnn > 1).
        learn_h0: train the initial RNN states; False keeps them as they are, which is zero in a
            model that was not imported.
        weight_norm: weight normalization of every linear map.
        emb_size: size of the embedding of a token; 0 means one-hot.
        q_levels: number of quantization levels, at most 65,536.
        q_type: "linear", "mu-law" or "a-law"; the last two need 256 levels.
        dtype: of the factors of matrix products, "float32" or "bfloat16"; parameters, states,
            everything between the products and the loss are float32 in any case. It holds wherever
            the model is run as in training: in evaluation, over prompts and for scores. The
            sampler decodes with float32 factors.
        independent_preds: give the top tier a second output that predicts all samples of its next
            frame independently of each other (`IndependentPreds` of the original).
        matmul_precision: of products with float32 factors, the sampler's too. "highest" is float32
            on every device; "default" is what is fastest, which on TPUs is bfloat16 and on recent
            GPUs TF32.
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
        _check_num_layers(f"n_rnn={self.n_rnn}", self.n_rnn * max(1, len(sizes)))
        require_one_of(self, "rnn_type", RNN_TYPES)
        require_one_of(self, "dtype", DTYPES)
        require_one_of(self, "matmul_precision", MATMUL_PRECISIONS)
        _check_quantization(self)
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
        """Samples of the top tier's frame; one sample, where there is only one tier."""
        return self.frame_sizes[-1] if self.frame_sizes else 1

    @property
    def overlap(self) -> int:
        """Samples of context in front of a segment."""
        return self.top_frame_size

    @property
    def products(self) -> Products:
        """How it multiplies matrices; the sampler decodes with float32 factors in any case."""
        return Products(self.dtype, self.matmul_precision)

    @property
    def q_zero(self) -> int:
        """The token of silence."""
        return self.q_levels // 2


@dataclasses.dataclass(frozen=True)
class WaveNetConfig:
    """The shape of the paper's WaveNet re-implementation (models/one_tier/wavent.py).

    Attributes:
        num_blocks: blocks of dilated layers.
        layers_per_block: layers of a block, with dilations 1, 2, 4, ...
        dim: channels of every layer.
        output_activation: of the three layers before the logits. "relu" as in the paper by van den
            Oord et al.; "none" as in the original, whose code forgets to apply it.
        q_levels: number of quantization levels.
        q_type: "linear", "mu-law" or "a-law"; the last two need 256 levels.
        matmul_precision: as of a SampleRNN.
    """

    architecture: ClassVar[str] = "wavenet"

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
        _check_num_layers(f"num_blocks={self.num_blocks}", self.num_blocks * layers)
        require_one_of(self, "output_activation", OUTPUT_ACTIVATIONS)
        require_one_of(self, "matmul_precision", MATMUL_PRECISIONS)
        _check_quantization(self)

    @property
    def top_frame_size(self) -> int:
        """1: it predicts sample by sample, as a SampleRNN of one tier."""
        return 1

    @property
    def overlap(self) -> int:
        """Samples of context in front of a segment: as many as a prediction depends on."""
        return self.num_blocks * (2**self.layers_per_block - 1) + 1

    @property
    def products(self) -> Products:
        """How it multiplies matrices."""
        return Products(precision=self.matmul_precision)

    @property
    def q_zero(self) -> int:
        """The token of silence."""
        return self.q_levels // 2


ArchitectureConfig = ModelConfig | WaveNetConfig


def _check_quantization(model: ArchitectureConfig) -> None:
    require_one_of(model, "q_type", Q_TYPES)
    require(model.q_levels >= 2, f"q_levels={model.q_levels}: must be at least 2")
    require(
        model.q_levels <= MAX_Q_LEVELS,
        f"q_levels={model.q_levels}: must be at most {MAX_Q_LEVELS}, as audio has 16 bits",
    )
    require(
        model.q_type == "linear" or model.q_levels == 256,
        f"q_levels={model.q_levels}: must be 256 with q_type={model.q_type!r}",
    )


def _check_num_layers(field: str, num_layers: int) -> None:
    require(
        num_layers <= MAX_LAYERS,
        f"{field}: makes {num_layers} layers in all tiers or blocks, must be at most {MAX_LAYERS}, "
        "as each is compiled on its own",
    )


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What to train on, and how it is cut into segments.

    Attributes:
        path: a dataset folder made by `experiments.prepare`; "" for the synthetic corpus.
        normalization: "dataset" for the one gain that such a folder has for all of its clips;
            "legacy" to read a folder of the original's .npy files as the original does, clip by
            clip and mistake by mistake, see `data/legacy.py`.
        synthetic_minutes: length of the corpus of plucked strings that the workdir gets when
            path is "". A recipe for real recordings sets it to 0, which makes path required.
        batch_size: rows of a batch over all devices; each walks its own clip.
        seq_len: targets of a segment, the length of truncated backpropagation, in samples.
    """

    path: str = ""
    normalization: str = "dataset"
    synthetic_minutes: float = 5.0
    batch_size: int = 128
    seq_len: int = 512

    def __post_init__(self) -> None:
        require_positive(self, "batch_size", "seq_len")
        check_local("data.path", self.path)
        require_one_of(self, "normalization", NORMALIZATIONS)
        require(
            self.normalization != "legacy" or self.path != "",
            "path='': must name a folder of the original's .npy files with normalization='legacy'",
        )
        minutes = self.synthetic_minutes
        require(
            minutes == 0 or 1 <= minutes <= 600,
            f"synthetic_minutes={minutes}: must be 0, or from 1 to 600",
        )
        require(
            self.path != "" or minutes > 0,
            "data.path='': must name a dataset folder made by experiments.prepare",
        )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam on clipped gradients of the bits per sample; the defaults are the original's.

    Attributes:
        learning_rate: Adam's step size, at its highest.
        schedule: "constant"; "cosine", which falls to `decay_rate` times the learning rate in
            `decay_steps` and stays there; or "exponential", which falls by that factor every
            `decay_steps`.
        warmup_steps: steps in which the learning rate rises evenly to its highest, before the
            schedule begins.
        decay_steps: see `schedule`.
        decay_rate: see `schedule`.
        clip_value: every element of the gradient is clipped to [-clip_value, clip_value]; 0 for
            no such limit.
        clip_norm: the whole gradient is scaled down to this norm, after `clip_value`; 0 for no
            such limit.
        ema_decay: keep a moving average of the parameters, of which so much stays at each step,
            such as 0.999, and evaluate and sample from it; 0 for none.
        independent_preds_weight: weight of the bits per sample of the independent predictions in
            what is minimised; above 0 it needs model.independent_preds.
    """

    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup_steps: int = 0
    decay_steps: int = 0
    decay_rate: float = 0.1
    clip_value: float = 1.0
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    independent_preds_weight: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "learning_rate")
        require_one_of(self, "schedule", SCHEDULES)
        require_not_negative(
            self,
            *("warmup_steps", "decay_steps", "clip_value", "clip_norm"),
            "independent_preds_weight",
        )
        require(
            self.schedule == "constant" or self.decay_steps > 0,
            f"decay_steps={self.decay_steps}: must be greater than 0 with "
            f"schedule={self.schedule!r}",
        )
        for name in ("decay_rate", "ema_decay"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name}={value}: must be at least 0 and less than 1")
        require(
            self.schedule != "exponential" or self.decay_rate > 0,
            f"decay_rate={self.decay_rate}: must be greater than 0 with schedule='exponential'",
        )


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long to train, and how often to look.

    Attributes:
        num_steps: steps in all; one step is one segment of every row.
        num_epochs: stop after so many passes over the training split, if that is earlier; counted
            without the padding between clips, which takes a little longer. 0 for no such limit.
        max_hours: stop when the command has run for so long, such as a job may; what is done is
            saved, and the same command goes on. 0 for no such limit.
        patience: stop after so many validations in a row that were no better than the best; 0
            for no such limit.
        log_every: steps between entries of the metrics log.
        valid_every: steps between validations; each one also saves a checkpoint.
        valid_s: validate on so many seconds of held-out audio in all, in excerpts from all over
            the split, the same whatever the batch; 0 means the whole split.
        keep_latest: how many of the latest checkpoints are kept.
        keep_best: how many of the best checkpoints by validation bits are kept.
        max_skipped: a step whose bits or gradients are not finite changes nothing; after so many
            of them in a row the run stops.
    """

    num_steps: int = 100_000
    num_epochs: float = 0.0
    max_hours: float = 0.0
    patience: int = 0
    log_every: int = 50
    valid_every: int = 1000
    valid_s: float = 0.0
    keep_latest: int = 2
    keep_best: int = 1
    max_skipped: int = 10

    def __post_init__(self) -> None:
        require_positive(
            self,
            *("num_steps", "log_every", "valid_every", "keep_latest", "keep_best", "max_skipped"),
        )
        require_not_negative(self, "valid_s", "num_epochs", "max_hours", "patience")


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """What is generated while training.

    Attributes:
        every: steps between generated audio files, a multiple of valid_every; 0 means only at
            the end.
        num_sequences: how many sequences.
        duration_s: length of each, in seconds.
        temperature: divides the logits; 0 always takes the likeliest token.
    """

    every: int = 0
    num_sequences: int = 4
    duration_s: float = 4.0
    temperature: float = 0.95

    def __post_init__(self) -> None:
        require_not_negative(self, "every", "temperature")
        require_positive(self, "num_sequences", "duration_s")


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How the per-device step is mapped over the devices, the rows and time.

    Attributes:
        map: "shard_map" or "pmap"; both compute the same.
        microbatches: the rows of a device are worked on in so many parts, one after the other,
            whose gradients add up to the same; takes less memory.
        steps_per_call: so many steps are handed to the devices at once; for small models, whose
            steps are shorter than handing them over takes.
    """

    map: str = "shard_map"
    microbatches: int = 1
    steps_per_call: int = 1

    def __post_init__(self) -> None:
        require_one_of(self, "map", MAPS)
        require_positive(self, "microbatches", "steps_per_call")


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """One training run. `seed` fixes the initial parameters, the data order and the samples."""

    seed: int = 0
    model: ArchitectureConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    sample: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)

    def __post_init__(self) -> None:
        require(0 <= self.seed < MAX_SEED, f"seed={self.seed}: must be in [0, {MAX_SEED})")
        top = self.model.top_frame_size
        require(
            self.data.seq_len % top == 0,
            f"seq_len={self.data.seq_len}: must be a multiple of the top frame size {top}",
        )
        require(
            self.sample.every % self.train.valid_every == 0,
            f"sample.every={self.sample.every}: must be a multiple of "
            f"train.valid_every={self.train.valid_every}",
        )
        for name in ("num_steps", "valid_every", "log_every"):
            value, at_once = getattr(self.train, name), self.parallel.steps_per_call
            require(
                value % at_once == 0,
                f"{name}={value}: must be a multiple of steps_per_call={at_once}",
            )
        weight = self.optimizer.independent_preds_weight
        require(
            weight == 0 or (isinstance(self.model, ModelConfig) and self.model.independent_preds),
            f"independent_preds_weight={weight}: needs model.independent_preds=True",
        )
        require(
            self.data.normalization != "legacy" or self.model.q_type != "a-law",
            "q_type='a-law': the original has no a-law, so normalization must not be 'legacy'",
        )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "ExperimentConfig":
        """Makes the configuration from nested mappings, a ConfigDict or parsed JSON.

        Raises:
            ValueError: a field is unknown or breaks its rule; the message names it.
        """
        return build(cls, values, "config")

    def to_dict(self) -> dict[str, Any]:
        """The nested dict that `from_mapping` takes, ready for JSON."""
        values = dataclasses.asdict(self)
        return {**values, "model": {"architecture": self.model.architecture, **values["model"]}}


def default_config(model: ArchitectureConfig | None = None) -> ml_collections.ConfigDict:
    """An editable `ExperimentConfig`: where every recipe in `configs/` starts.

    Args:
        model: what to train; None for the default SampleRNN.
    """
    return ml_collections.ConfigDict(ExperimentConfig(model=model or ModelConfig()).to_dict())
