"""What training and sampling take of the memory, by arithmetic: before anything is traced."""

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig, ExperimentConfig
from samplernn_jax.models.interface import architecture
from samplernn_jax.units import describe_bytes

_BYTES = 4
"""Of a number."""


def bytes_at_once(config: ExperimentConfig, rows: int, copies: int) -> int:
    """Bytes without which rows of a batch cannot be worked on at once.

    Args:
        config: of the model and the data.
        rows: number of rows.
        copies: of the parameters; a training step has their gradients and Adam's two moments too.
    """
    data, model = config.data, config.model
    predictions = rows * data.seq_len * (model.q_levels + model.dim)  # logits, last hidden layer
    tokens = rows * config.parallel.steps_per_call * (model.overlap + data.seq_len)
    return _BYTES * (copies * architecture(model).num_parameters + predictions + tokens)


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
    return (
        _BYTES
        * (4 if config.optimizer.ema_decay else 3)
        * architecture(config.model).num_parameters
    )


def check_evaluation(config: ExperimentConfig, num_devices: int, limit_bytes: int | None) -> None:
    """The same of an evaluation."""
    rows = config.data.batch_size // (num_devices * config.parallel.microbatches)
    _check(config, rows, 1, limit_bytes)


def _check(config: ExperimentConfig, rows: int, copies: int, limit_bytes: int | None) -> None:
    if limit_bytes is None:
        return
    data, parameters = config.data, architecture(config.model).num_parameters
    of_model, needed = _BYTES * copies * parameters, bytes_at_once(config, rows, copies)
    there_is = f"which has {describe_bytes(limit_bytes)}"
    require(
        of_model <= limit_bytes,
        f"model.dim={config.model.dim}: a model of {parameters:,} parameters takes at least "
        f"{describe_bytes(of_model)} on each device, {there_is}; lower model.dim",
    )
    require(
        needed <= limit_bytes,
        f"batch_size={data.batch_size}, seq_len={data.seq_len}: take at least "
        f"{describe_bytes(needed)}, with a model of {parameters:,} parameters, on each device, "
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
        num_sequences: number of sequences.
        num_samples: of each, with its tokens and its bits.
        limit_bytes: what there is; None where that is not known.
        name: what the user calls the number of sequences.
    """
    needed = _BYTES * num_sequences * (3 * num_samples + architecture(config).state_size)
    require(
        limit_bytes is None or needed <= limit_bytes,
        f"{name}={num_sequences}: takes at least {describe_bytes(needed)} with {num_samples:,} "
        "samples of each at once, but there are "
        f"{describe_bytes(limit_bytes or 0)} of memory",
    )
