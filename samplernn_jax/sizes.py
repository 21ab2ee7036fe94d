"""How large a model and its training are, by arithmetic: before anything is built or traced."""

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig, ExperimentConfig, ModelConfig, WaveNetConfig
from samplernn_jax.models.rnn import RNN_TYPES
from samplernn_jax.models.samplernn.module import tier_ratio
from samplernn_jax.units import describe_bytes

_BYTES = 4
"""Of a number."""


def num_parameters(config: ArchitectureConfig) -> int:
    """How many parameters a model has."""
    if isinstance(config, WaveNetConfig):
        return _of_wavenet(config)
    if not config.frame_sizes:
        return _of_only_tier(config)
    tiers = range(2, len(config.frame_sizes) + 2)
    return _of_lowest_tier(config) + sum(_of_frame_tier(config, tier) for tier in tiers)


def state_size(config: ArchitectureConfig) -> int:
    """How many numbers a sequence's state has while it is sampled."""
    if isinstance(config, WaveNetConfig):
        inputs = config.overlap - 1 + config.num_blocks * config.layers_per_block
        return inputs * config.dim - 2 * (config.dim - 1) + 1  # the first layer has one channel
    states = config.n_rnn * max(1, len(config.frame_sizes))
    return states * RNN_TYPES[config.rnn_type].state_size * config.dim + config.top_frame_size


def bytes_at_once(config: ExperimentConfig, rows: int, copies: int) -> int:
    """Bytes without which rows of a batch cannot be worked on at once.

    Args:
        config: of the model and the data.
        rows: how many.
        copies: of the parameters; a training step has their gradients and Adam's two moments too.
    """
    data, model = config.data, config.model
    predictions = rows * data.seq_len * (model.q_levels + model.dim)  # logits, last hidden layer
    tokens = rows * config.parallel.steps_per_call * (model.overlap + data.seq_len)
    return _BYTES * (copies * num_parameters(model) + predictions + tokens)


def check_training(config: ExperimentConfig, num_devices: int, limit_bytes: int | None) -> None:
    """Raises ValueError where a step of a training cannot fit into the memory.

    Args:
        config: of the training.
        num_devices: over which its batch is spread.
        limit_bytes: what each of them has; None where it does not say.
    """
    rows = config.data.batch_size // (num_devices * config.parallel.microbatches)
    _check(config, rows, 4, limit_bytes)


def checkpoint_bytes(config: ExperimentConfig) -> int:
    """Bytes without which no checkpoint is written: the parameters, and Adam's two moments."""
    return _BYTES * (4 if config.optimizer.ema_decay else 3) * num_parameters(config.model)


def check_evaluation(config: ExperimentConfig, num_devices: int, limit_bytes: int | None) -> None:
    """The same of an evaluation."""
    rows = config.data.batch_size // (num_devices * config.parallel.microbatches)
    _check(config, rows, 1, limit_bytes)


def _check(config: ExperimentConfig, rows: int, copies: int, limit_bytes: int | None) -> None:
    if limit_bytes is None:
        return
    data, parameters = config.data, num_parameters(config.model)
    of_model, needed = _BYTES * copies * parameters, bytes_at_once(config, rows, copies)
    there_is = f"must be at most the {describe_bytes(limit_bytes)} that it has"
    require(
        of_model <= limit_bytes,
        f"model.dim={config.model.dim}: a model of {parameters:,} parameters takes at least "
        f"{describe_bytes(of_model)} of each device, {there_is}; lower model.dim",
    )
    require(
        needed <= limit_bytes,
        f"batch_size={data.batch_size}, seq_len={data.seq_len}: take at least "
        f"{describe_bytes(needed)} of each device with a model of {parameters:,} parameters, "
        f"{there_is}; lower them, or raise parallel.microbatches",
    )


def check_generation(
    config: ArchitectureConfig,
    num_sequences: int,
    num_samples: int,
    limit_bytes: int | None,
    name: str = "num_sequences",
) -> None:
    """Raises ValueError where sequences cannot be in memory at once.

    Args:
        config: of the model.
        num_sequences: how many.
        num_samples: of each, with its tokens and its bits.
        limit_bytes: what there is; None where that is not known.
        name: what the user calls the number of sequences.
    """
    needed = _BYTES * num_sequences * (3 * num_samples + state_size(config))
    require(
        limit_bytes is None or needed <= limit_bytes,
        f"{name}={num_sequences}: takes at least {describe_bytes(needed)} with {num_samples:,} "
        "samples of each at once, must be at most the "
        f"{describe_bytes(limit_bytes or 0)} of memory",
    )


def _linear(inputs: int, outputs: int, weight_norm: bool, bias: bool = True) -> int:
    return (inputs + weight_norm + bias) * outputs


def _of_rnn(config: ModelConfig, inputs: int) -> int:
    """The layers, their maps where they are skipped, and h0."""
    dim, norm, kind = config.dim, config.weight_norm, RNN_TYPES[config.rnn_type]
    width = kind.projection_size * dim
    recurrent = _linear(dim, width, norm, bias=False)
    later = dim + inputs if config.skip_conn else dim
    total = _linear(inputs, width, norm) + recurrent
    total += (config.n_rnn - 1) * (_linear(later, width, norm) + recurrent)
    if config.skip_conn:
        total += config.n_rnn * _linear(dim, dim, norm, bias=False) + dim
    return total + config.n_rnn * kind.state_size * dim


def _of_only_tier(config: ModelConfig) -> int:
    dim, norm = config.dim, config.weight_norm
    return (
        config.q_levels * config.emb_size
        + _of_rnn(config, config.emb_size or config.q_levels)
        + 3 * _linear(dim, dim, norm)
        + _linear(dim, config.q_levels, norm)
    )


def _of_lowest_tier(config: ModelConfig) -> int:
    dim, norm = config.dim, config.weight_norm
    window = config.frame_sizes[0] * (config.emb_size or config.q_levels)
    return (
        config.q_levels * config.emb_size
        + _linear(window, dim, norm, bias=False)
        + 2 * _linear(dim, dim, norm)
        + _linear(dim, config.q_levels, norm)
    )


def _of_frame_tier(config: ModelConfig, tier: int) -> int:
    dim, norm, frame_size = config.dim, config.weight_norm, config.frame_sizes[tier - 2]
    total = _linear(dim, tier_ratio(config, tier) * dim, norm)
    if tier <= len(config.frame_sizes):
        return total + _linear(frame_size, dim, norm) + _of_rnn(config, dim)
    if config.independent_preds:
        total += _linear(dim, frame_size * config.q_levels, norm)
    return total + _of_rnn(config, frame_size)


def _of_wavenet(config: WaveNetConfig) -> int:
    dim, num_layers = config.dim, config.num_blocks * config.layers_per_block
    inputs = 1 + (num_layers - 1) * dim
    of_layers = 2 * dim * (2 * inputs + num_layers) + num_layers * (2 * dim * dim + 1)
    return of_layers + 3 * _linear(dim, dim, False) + _linear(dim, config.q_levels, False)
