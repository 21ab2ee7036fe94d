"""How fast a training step is, and how far that is from what the device can do."""

from typing import Any

import jax

from samplernn_jax import hardware
from samplernn_jax.config import ExperimentConfig, ModelConfig
from samplernn_jax.devices import check_batch_size, make_mesh, replicate, shard_rows
from samplernn_jax.evaluation.validation import compile_eval_step
from samplernn_jax.models.interface import init_params, initial_carry
from samplernn_jax.models.rnn import RNN_TYPES
from samplernn_jax.training import plan
from samplernn_jax.training.step import init_state, map_train_step


def measure(config: ExperimentConfig, seconds: float) -> dict[str, Any]:
    """Runs training steps on random tokens.

    Args:
        config: gives the model, the optimizer, the batch and its parts.
        seconds: how long to run.

    Returns:
        Seconds per step, samples per second, FLOP per sample by `flop_per_sample` and per second,
        the FLOP per second of large float32 matrix products on the same devices, the ratio of the
        two, seconds to compile, and the bytes that XLA plans for a step on each device, and for
        one of evaluation.

    Raises:
        ValueError: the batch cannot be spread over the devices, or the model is no SampleRNN.
    """
    if not isinstance(config.model, ModelConfig):
        raise ValueError("model.architecture='wavenet': must be 'samplernn', FLOP are counted so")
    mesh = make_mesh()
    check_batch_size(mesh, config.data.batch_size, config.parallel.microbatches)
    train_step = map_train_step(config, mesh)
    cost = plan.cost_of_call(train_step, compile_eval_step(config, mesh), config, mesh)
    matmul = hardware.matmul_flop_per_s(config.model.matmul_precision) * mesh.size
    params = init_params(config.model, jax.random.key(config.seed))
    state = replicate(mesh, init_state(config.optimizer, params))
    carry = shard_rows(mesh, initial_carry(config.model, params, config.data.batch_size))
    segment = shard_rows(mesh, plan.random_segment(config, config.data.batch_size))

    def run(position: Any) -> Any:
        (state, _), carry = train_step(position[0], position[1], segment)
        return state, carry

    seconds_per_step = (
        hardware.seconds_per_call(run, (state, carry), seconds) / config.parallel.steps_per_call
    )
    samples = config.data.batch_size * config.data.seq_len
    flop = flop_per_sample(config.model, samples)
    achieved = flop * samples / seconds_per_step
    return {
        "batch_size": config.data.batch_size,
        "seq_len": config.data.seq_len,
        "dtype": config.model.dtype,
        "matmul_precision": config.model.matmul_precision,
        "devices": f"{mesh.size} {jax.devices()[0].device_kind}",
        "seconds_per_step": seconds_per_step,
        "samples_per_s": samples / seconds_per_step,
        "flop_per_sample": flop,
        "flop_per_s": achieved,
        "matmul_flop_per_s": matmul,
        "ratio": achieved / matmul,
        "compile_s": cost.compile_s,
        "memory_bytes": cost.training_bytes,
        "evaluation_memory_bytes": cost.evaluation_bytes,
    }


def flop_per_sample(config: ModelConfig, samples: int) -> float:
    """Multiplications and additions of a training step in matrix products, per sample.

    A product costs as much again for the gradient of either factor; the frames and tokens, which
    are read and not computed, need none. The tables of tier 1 are made once for a step, and looked
    up instead of multiplied with.

    Args:
        config: the model.
        samples: targets of a step, over which what is done once for a step is spread.
    """
    dim, sizes = config.dim, config.frame_sizes
    total = 0.0
    for tier, size in enumerate(sizes):
        is_top = tier == len(sizes) - 1
        below = sizes[tier - 1] if tier else 1
        if not is_top:
            total += _product(size, dim, size, input_is_data=True)
        total += _rnn(config, size if is_top else dim, size, is_top)
        total += _product(dim, size // below * dim, size)
    if not sizes:
        total += _rnn(config, config.emb_size or config.q_levels, 1, config.emb_size == 0)
        total += _product(dim, dim, 1)
    elif config.emb_size:
        total += _product(config.emb_size, sizes[0] * config.q_levels * dim, samples)
    return total + 2 * _product(dim, dim, 1) + _product(dim, config.q_levels, 1)


def _product(inputs: int, outputs: int, every: int, input_is_data: bool = False) -> float:
    """FLOP per sample of a product with a matrix, once in `every` samples, and of its gradients."""
    return 2 * (2 if input_is_data else 3) * inputs * outputs / every


def _rnn(config: ModelConfig, inputs: int, every: int, input_is_data: bool) -> float:
    """The products of a stacked RNN that steps once in `every` samples."""
    dim, gates = config.dim, RNN_TYPES[config.rnn_type].projection_size
    total = 0.0
    for layer in range(config.n_rnn):
        if layer == 0:
            total += _product(inputs, gates * dim, every, input_is_data)
        else:
            total += _product(dim + (inputs if config.skip_conn else 0), gates * dim, every)
        total += _product(dim, gates * dim, every)
    if config.skip_conn:
        total += config.n_rnn * _product(dim, dim, every)
    return total
