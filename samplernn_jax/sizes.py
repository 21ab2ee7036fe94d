"""The memory that training and sampling take, by arithmetic, before anything is traced."""

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig, ExperimentConfig
from samplernn_jax.models.interface import architecture
from samplernn_jax.units import describe_bytes

_BYTES = 4
"""The bytes of a number."""


def bytes_at_once(config: ExperimentConfig, rows: int, copies: int) -> int:
    """Returns the least memory for working on rows of a batch at once, in bytes.

    Args:
        config: the configuration of the model and the data.
        rows: the number of rows.
        copies: the number of copies of the parameters; a training step also has their gradients
            and Adam's two moments.
    """
    data, model = config.data, config.model
    predictions = rows * data.seq_len * (model.q_levels + model.dim)  # logits, last hidden layer
    tokens = rows * config.parallel.steps_per_call * (model.overlap + data.seq_len)
    return _BYTES * (copies * architecture(model).num_parameters + predictions + tokens)


def check_training(config: ExperimentConfig, num_devices: int, limit_bytes: int | None) -> None:
    """Raises ValueError where a step of a training cannot fit into the memory.

    Args:
        config: the configuration of the training.
        num_devices: the number of devices over which the batch is spread.
        limit_bytes: the memory of each device; None if it is unknown.
    """
    rows = config.data.batch_size // (num_devices * config.parallel.microbatches)
    _check(config, rows, 4, limit_bytes)


def checkpoint_bytes(config: ExperimentConfig) -> int:
    """Returns the least size of a checkpoint in bytes: the parameters, and Adam's two moments."""
    return (
        _BYTES
        * (4 if config.optimizer.ema_decay else 3)
        * architecture(config.model).num_parameters
    )


def check_evaluation(config: ExperimentConfig, num_devices: int, limit_bytes: int | None) -> None:
    """Raises ValueError where a step of an evaluation cannot fit into the memory."""
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
        config: the model's configuration.
        num_sequences: the number of sequences.
        num_samples: the number of samples of each, which have tokens and bits.
        limit_bytes: the memory; None if it is unknown.
        name: the user's name for the number of sequences.
    """
    needed = _BYTES * num_sequences * (3 * num_samples + architecture(config).state_size)
    require(
        limit_bytes is None or needed <= limit_bytes,
        f"{name}={num_sequences}: takes at least {describe_bytes(needed)} with {num_samples:,} "
        "samples of each at once, but there are "
        f"{describe_bytes(limit_bytes or 0)} of memory",
    )
