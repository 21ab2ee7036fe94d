"""The speed of sampling, compared with the limits of the device."""

import time
from typing import Any

import jax

from samplernn_jax import hardware
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.devices import mesh_of_rows
from samplernn_jax.models.folded import num_bytes
from samplernn_jax.models.interface import architecture, init_params
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.stream import Stream

_BLOCK_SAMPLES = 2000


def measure(
    config: ArchitectureConfig, batch_size: int, sample_rate_hz: int, seconds: float
) -> dict[str, Any]:
    """Measures sampling from a model with random parameters, as a user samples.

    Args:
        config: the model's configuration.
        batch_size: the number of sequences at once.
        sample_rate_hz: the sample rate that counts as real time.
        seconds: the duration of the measurement.

    Returns:
        The samples per second of each sequence and in total, the real-time factor of a sequence,
        the bytes of all weights and of those that a sample reads, the device's rate of reading such
        an amount, the samples per second that this rate allows for each sequence and the share that
        is reached, the same for the FLOP per second of large products, and the seconds to compile,
        without and with the persistent cache.
    """
    params = init_params(config, jax.random.key(0))
    generator = Generator(config, params, sample_rate_hz)
    folded = architecture(config).fold(params)
    compile_s, _ = _first_block(generator, batch_size)
    jax.clear_caches()
    cached_compile_s, stream = _first_block(generator, batch_size)
    block_s = hardware.seconds_per_call(lambda _: next(stream), None, seconds)
    per_sequence = _BLOCK_SAMPLES / block_s
    weight_bytes = int(num_bytes(folded))
    bytes_per_sample = architecture(config).bytes_per_sample(folded)
    bandwidth = hardware.bandwidth_bytes_per_s(weight_bytes)
    matmul = hardware.matmul_flop_per_s(config.matmul_precision)
    num_devices = mesh_of_rows(batch_size, jax.local_devices()).size
    # A weight of 4 bytes is multiplied and added once for each sequence.
    flop_per_s = 2 * bytes_per_sample / 4 * batch_size * per_sequence
    return {
        "batch_size": batch_size,
        "dtype": str(jax.tree.leaves(folded)[0].dtype),
        "matmul_precision": config.matmul_precision,
        "devices": f"{num_devices} {jax.devices()[0].device_kind}",
        "samples_per_s_per_sequence": per_sequence,
        "samples_per_s_total": batch_size * per_sequence,
        "sample_rate_hz": sample_rate_hz,
        "real_time_factor": per_sequence / sample_rate_hz,
        "weight_bytes": weight_bytes,
        "weight_bytes_per_sample": bytes_per_sample,
        "bandwidth_bytes_per_s": bandwidth,
        "bound_samples_per_s": bandwidth / bytes_per_sample,
        "bandwidth_ratio": per_sequence * bytes_per_sample / bandwidth,
        "flop_per_s": flop_per_s,
        "matmul_ratio": flop_per_s / (num_devices * matmul),
        "compile_s": max(0.0, compile_s - block_s),
        "cached_compile_s": max(0.0, cached_compile_s - block_s),
    }


def _first_block(generator: Generator, batch_size: int) -> tuple[float, Stream]:
    """Returns the seconds until the first block is finished, and the stream after it."""
    block_s = _BLOCK_SAMPLES / generator.sample_rate_hz
    stream = generator.stream(jax.random.key(0), batch_size, block_s)
    began = time.perf_counter()
    next(stream)
    return time.perf_counter() - began, stream
