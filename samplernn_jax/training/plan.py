"""What a run takes, found out before it starts: parameters, memory and time."""

import dataclasses
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from samplernn_jax.architectures import abstract_params, init_params, initial_carry
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.segments import Segment
from samplernn_jax.model import Params
from samplernn_jax.parallel import (
    Step,
    replicate,
    replicated_shapes,
    row_shapes,
    rows_of_process,
    shard_rows,
)
from samplernn_jax.training import stopping
from samplernn_jax.training.step import init_state, map_train_step


class Cost(NamedTuple):
    """What one call of the training step takes.

    Attributes:
        memory_bytes: on each device, as XLA plans it: state, carry, segment and what is computed.
        limit_bytes: what each device has; None where it does not say.
        compile_s: seconds to compile it.
    """

    memory_bytes: int
    limit_bytes: int | None
    compile_s: float

    @property
    def missing_bytes(self) -> int:
        """How much each device has too little; 0 where it fits or that is not known."""
        return 0 if self.limit_bytes is None else max(0, self.memory_bytes - self.limit_bytes)


def cost_of_call(train_step: Step, config: ExperimentConfig, mesh: Mesh) -> Cost:
    """Compiles the training step for shapes alone.

    A call with arrays makes use of that under shard_map; under pmap it compiles again.
    """
    batch_size = config.data.batch_size
    params = abstract_params(config.model)
    state = jax.eval_shape(lambda params: init_state(config.optimizer, params), params)
    carry = jax.eval_shape(lambda params: initial_carry(config.model, params, batch_size), params)
    segment = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), x.dtype),
        random_segment(config, 1),
    )
    began = time.perf_counter()
    lowered = train_step.lower(
        replicated_shapes(mesh, state), row_shapes(mesh, carry), row_shapes(mesh, segment)
    )
    analysis = lowered.compile().memory_analysis()
    return Cost(
        analysis.temp_size_in_bytes + analysis.argument_size_in_bytes,
        memory_of_device(mesh),
        time.perf_counter() - began,
    )


def check_memory(cost: Cost, config: ExperimentConfig) -> None:
    """Raises ValueError where a device has too little memory for a step."""
    if cost.missing_bytes:
        raise ValueError(
            f"data.batch_size={config.data.batch_size}: a step takes "
            f"{_size(cost.memory_bytes)} of each device, {_size(cost.missing_bytes)} more than it "
            f"has; {memory_advice(config)}"
        )


def memory_advice(config: ExperimentConfig) -> str:
    """Which settings to change where memory runs out."""
    return (
        f"raise parallel.microbatches (now {config.parallel.microbatches}), which changes no "
        f"result, or lower data.batch_size, data.seq_len (now {config.data.seq_len}) or model.dim"
    )


def seconds_per_call(train_step: Step, config: ExperimentConfig, mesh: Mesh) -> float:
    """How long the second call of the training step takes, on random tokens."""
    rows = rows_of_process(mesh, config.data.batch_size)
    params = init_params(config.model, jax.random.key(config.seed))
    state = replicate(mesh, init_state(config.optimizer, params))
    carry = shard_rows(mesh, initial_carry(config.model, params, len(rows)))
    segment = shard_rows(mesh, random_segment(config, len(rows)))
    (state, _), carry = jax.block_until_ready(train_step(state, carry, segment))
    began = time.perf_counter()
    jax.block_until_ready(train_step(state, carry, segment))
    return time.perf_counter() - began


def random_segment(config: ExperimentConfig, num_rows: int) -> Segment:
    """Random tokens in the shape of what one call of the training step takes."""
    model, data, at_once = config.model, config.data, config.parallel.steps_per_call
    steps = (num_rows,) if at_once == 1 else (num_rows, at_once)
    rng = np.random.default_rng(config.seed)
    tokens = rng.integers(0, model.q_levels, (*steps, model.overlap + data.seq_len))
    return Segment(
        tokens.astype(np.int32),
        np.ones((*steps, data.seq_len), bool),
        np.zeros((*steps, data.seq_len // model.top_frame_size), bool),
    )


def memory_of_device(mesh: Mesh) -> int | None:
    """Bytes of a device; CPU devices share what the machine has."""
    devices = mesh.local_mesh.devices.flat
    if devices[0].platform == "cpu":
        if not hasattr(os, "sysconf"):  # on Windows
            return None
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // len(devices)
    stats: dict[str, Any] = devices[0].memory_stats() or {}
    return stats.get("bytes_limit")


def describe(config: ExperimentConfig, dataset: Dataset, mesh: Mesh) -> Iterator[str]:
    """Lines that say what is trained, where and on what."""
    tiers = count_parameters(abstract_params(config.model))
    sizes = ", ".join(f"{name} {size:,}" for name, size in tiers.items())
    yield (
        f"{sum(tiers.values()):,} parameters ({sizes}) on {mesh.size} {jax.default_backend()} "
        f"device(s)" + (f" of {jax.process_count()} processes." if jax.process_count() > 1 else ".")
    )
    minutes = {
        name: dataset.splits[name].num_samples / dataset.sample_rate_hz / 60
        for name in ("train", "valid")
    }
    per_epoch = stopping.steps_per_epoch(config.data, dataset)
    last = stopping.last_step(config, dataset)
    yield (
        f"{_duration(minutes['train'])} of audio at {dataset.sample_rate_hz} Hz to train on, "
        f"{_duration(minutes['valid'])} to validate; {per_epoch:.0f} steps per epoch, and "
        f"{last:,} steps are {last / per_epoch:.3g} epochs."
    )


def describe_cost(cost: Cost) -> str:
    """A line that says what a step takes."""
    of_all = "" if cost.limit_bytes is None else f" of {_size(cost.limit_bytes)}"
    return (
        f"A step takes {_size(cost.memory_bytes)}{of_all} on each device; compiled in "
        f"{cost.compile_s:.0f} s."
    )


def describe_time(config: ExperimentConfig, dataset: Dataset, step_s: float, first: int) -> str:
    """A line that says how long an epoch takes, and what is left of the run after step `first`."""
    epoch_s = stopping.steps_per_epoch(config.data, dataset) * step_s
    left = stopping.last_step(config, dataset) - first
    return (
        f"At {step_s:.3g} s per step an epoch takes {tqdm.format_interval(epoch_s)}, and the "
        f"{left:,} steps to go {tqdm.format_interval(left * step_s)}, without validation."
    )


def count_parameters(params: Params) -> dict[str, int]:
    """How many parameters each tier has (each part of a WaveNet)."""
    return {
        name: sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tier))
        for name, tier in params.items()
    }


def table(config: ExperimentConfig, dataset: Dataset, mesh: Mesh) -> Iterator[str]:
    """Lines of a table over batch sizes around the configured one, each as soon as it is known."""
    yield "batch_size  memory/device  s/step   samples/s  steps/epoch  time/epoch  compiled in"
    evenly = mesh.size * config.parallel.microbatches
    for factor in (0.25, 0.5, 1, 2, 4):
        batch_size = int(config.data.batch_size * factor)
        if batch_size == 0 or batch_size % evenly:
            continue
        data = dataclasses.replace(config.data, batch_size=batch_size)
        yield _row(dataclasses.replace(config, data=data), dataset, mesh)


def _row(config: ExperimentConfig, dataset: Dataset, mesh: Mesh) -> str:
    try:
        return _measured_row(config, dataset, mesh)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return f"{config.data.batch_size:10}  too much memory"


def _measured_row(config: ExperimentConfig, dataset: Dataset, mesh: Mesh) -> str:
    train_step = map_train_step(config, mesh)
    cost = cost_of_call(train_step, config, mesh)
    batch_size, memory = config.data.batch_size, _size(cost.memory_bytes)
    if cost.missing_bytes:
        return f"{batch_size:10}  {memory:>13}  {_size(cost.missing_bytes)} too much"
    step_s = seconds_per_call(train_step, config, mesh) / config.parallel.steps_per_call
    per_epoch = stopping.steps_per_epoch(config.data, dataset)
    return (
        f"{batch_size:10}  {memory:>13}  {step_s:6.3g}  "
        f"{batch_size * config.data.seq_len / step_s:10,.0f}  {per_epoch:11,.0f}  "
        f"{tqdm.format_interval(per_epoch * step_s):>10}  {cost.compile_s:9.1f} s"
    )


def _size(num_bytes: int) -> str:
    gib = num_bytes / 2**30
    if gib >= 1:
        return f"{gib:,.1f} GiB"
    return f"{num_bytes / 2**20:.0f} MiB" if num_bytes >= 2**20 else f"{num_bytes / 2**10:.0f} KiB"


def _duration(minutes: float) -> str:
    return f"{minutes / 60:.1f} hours" if minutes >= 120 else f"{minutes:.1f} minutes"
