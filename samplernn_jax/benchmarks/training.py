"""The speed of a training step, compared with the limits of the device."""

from typing import Any

import jax

from samplernn_jax import hardware
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.devices import check_batch_size, make_mesh, replicate, shard_rows
from samplernn_jax.evaluation.validation import compile_eval_step
from samplernn_jax.models.interface import architecture, init_params, initial_carry
from samplernn_jax.training import plan
from samplernn_jax.training.step import init_state, map_train_step


def measure(config: ExperimentConfig, seconds: float) -> dict[str, Any]:
    """Measures training steps on random tokens.

    Args:
        config: the configuration, with the model, the optimizer, the batch and its parts.
        seconds: the duration of the measurement.

    Returns:
        Seconds per step, samples per second, FLOP per sample of the model's matrix products and
        per second, the FLOP per second of large float32 matrix products on the same devices, the
        ratio of the two, seconds to compile, and the bytes that XLA plans for a step on each
        device, and for one of evaluation.

    Raises:
        ValueError: the batch cannot be spread over the devices.
    """
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
    flop = architecture(config.model).flop_per_sample(config.data.batch_size, config.data.seq_len)
    achieved = flop * samples / seconds_per_step
    return {
        "batch_size": config.data.batch_size,
        "seq_len": config.data.seq_len,
        "dtype": config.model.products.dtype,
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
