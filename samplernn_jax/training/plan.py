"""The cost of a run, known before it starts: parameters, memory and time."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.segments import Segment
from samplernn_jax.devices import (
    Step,
    memory_of_device,
    replicate,
    replicated_shapes,
    row_shapes,
    rows_of_process,
    shard_rows,
)
from samplernn_jax.models.interface import abstract_params, init_params, initial_carry
from samplernn_jax.models.options import Products
from samplernn_jax.models.types import Params
from samplernn_jax.training import stopping
from samplernn_jax.training.step import init_state
from samplernn_jax.units import clock_time, describe_bytes, describe_duration


class Cost(NamedTuple):
    """The memory and the compile time of a run's steps.

    Attributes:
        training_bytes: the memory on each device in one call of the training step, as XLA plans
            it: state, carry, segment and temporary values.
        evaluation_bytes: the same for the evaluation step, with the state and carry of training.
        limit_bytes: the memory of each device; None where it is unknown.
        compile_s: the seconds to compile both steps.
    """

    training_bytes: int
    evaluation_bytes: int
    limit_bytes: int | None
    compile_s: float

    @property
    def memory_bytes(self) -> int:
        """The memory that each device must have."""
        return max(self.training_bytes, self.evaluation_bytes)

    @property
    def missing_bytes(self) -> int:
        """The memory that each device lacks; 0 where it has enough or that is unknown."""
        return 0 if self.limit_bytes is None else max(0, self.memory_bytes - self.limit_bytes)


def cost_of_call(train_step: Step, eval_step: Step, config: ExperimentConfig, mesh: Mesh) -> Cost:
    """Compiles the training step and the evaluation step for shapes, and returns their cost.

    Under shard_map, a later call with arrays uses the compiled step; pmap compiles again.
    """
    batch_size = config.data.batch_size
    params = abstract_params(config.model)
    state = jax.eval_shape(lambda params: init_state(config.optimizer, params), params)
    carry = jax.eval_shape(lambda params: initial_carry(config.model, params, batch_size), params)
    state, params = replicated_shapes(mesh, (state, params))
    carry = row_shapes(mesh, carry)
    one = dataclasses.replace(config.parallel, steps_per_call=1)
    segments = _segment_shapes(config, mesh)
    segment = _segment_shapes(dataclasses.replace(config, parallel=one), mesh)
    began = time.perf_counter()
    training = _bytes_of_call(train_step, state, carry, segments)
    evaluation = _bytes_of_call(eval_step, params, carry, segment)
    seconds = time.perf_counter() - began
    waiting = num_bytes(state) - num_bytes(params) + num_bytes(carry) // mesh.size
    return Cost(training, evaluation + waiting, memory_of_device(mesh), seconds)


def _segment_shapes(config: ExperimentConfig, mesh: Mesh) -> Segment:
    """Returns the shapes of the segments in one call of the training step."""

    def of_batch(x: np.ndarray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((config.data.batch_size, *x.shape[1:]), x.dtype)

    return row_shapes(mesh, jax.tree.map(of_batch, random_segment(config, 1)))


def _bytes_of_call(step: Step, shared: Any, carry: Any, rows: Any) -> int:
    """Returns the memory that a call takes on each device."""
    analysis = step.lower(shared, carry, rows).compile().memory_analysis()
    return analysis.temp_size_in_bytes + analysis.argument_size_in_bytes


def num_bytes(shapes: Any) -> int:
    """Returns the bytes of a pytree of arrays or of their shapes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def check_memory(cost: Cost, config: ExperimentConfig, mesh: Mesh) -> None:
    """Raises ValueError if a device has too little memory for training or for evaluation."""
    if cost.missing_bytes:
        step = "a training" if cost.training_bytes == cost.memory_bytes else "an evaluation"
        raise ValueError(
            f"data.batch_size={config.data.batch_size}: {step} step takes "
            f"{describe_bytes(cost.memory_bytes)} on each device, "
            f"{describe_bytes(cost.missing_bytes)} more than it has; {memory_advice(config, mesh)}"
        )


def memory_advice(config: ExperimentConfig, mesh: Mesh) -> str:
    """Returns advice on settings that lower the memory of training and evaluation."""
    lower = f"lower data.batch_size, data.seq_len (now {config.data.seq_len}) or model.dim"
    if config.parallel.microbatches >= config.data.batch_size // mesh.size:
        return lower
    return (
        f"raise parallel.microbatches (now {config.parallel.microbatches}), which leaves results "
        f"unchanged, or {lower}"
    )


@contextlib.contextmanager
def out_of_memory_as_sentence(config: ExperimentConfig, mesh: Mesh) -> Iterator[None]:
    """Turns out-of-memory errors in the block into advice.

    Raises:
        ValueError: a device ran out of memory.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ValueError(
            f"data.batch_size={config.data.batch_size}: a device ran out of memory "
            f"({str(error).splitlines()[0]}); {memory_advice(config, mesh)}"
        ) from error


def seconds_per_call(train_step: Step, config: ExperimentConfig, mesh: Mesh) -> float:
    """Returns the seconds of the second call of the training step, on random tokens."""
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
    """Returns random tokens in the shape of the segments in one call of the training step."""
    model, data, at_once = config.model, config.data, config.parallel.steps_per_call
    steps = (num_rows,) if at_once == 1 else (num_rows, at_once)
    rng = np.random.default_rng(config.seed)
    tokens = rng.integers(0, model.q_levels, (*steps, model.overlap + data.seq_len))
    return Segment(
        tokens.astype(np.int32),
        np.ones((*steps, data.seq_len), bool),
        np.zeros((*steps, data.seq_len // model.top_frame_size), bool),
    )


def describe(config: ExperimentConfig, dataset: Dataset, mesh: Mesh) -> Iterator[str]:
    """Yields lines about the model, the devices and the data of a run."""
    tiers = count_parameters(abstract_params(config.model))
    sizes = ", ".join(f"{name} {size:,}" for name, size in tiers.items())
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    yield (
        f"{sum(tiers.values()):,} parameters ({sizes}) on {mesh.size} {jax.default_backend()} "
        f"device(s){processes}; matrix products in {describe_products(config.model.products)}."
    )
    seconds = {
        name: dataset.splits[name].num_samples / dataset.sample_rate_hz
        for name in ("train", "valid")
    }
    per_epoch = stopping.steps_per_epoch(config.data, dataset)
    last = stopping.last_step(config, dataset)
    yield (
        f"{describe_duration(seconds['train'])} of audio at {dataset.sample_rate_hz} Hz to train "
        f"on, {describe_duration(seconds['valid'])} to validate; {per_epoch:.0f} steps per epoch, "
        f"and {last:,} steps are {last / per_epoch:.3g} epochs."
    )


def describe_products(products: Products) -> str:
    """Returns the precision of matrix products in words."""
    if products.dtype == "float32" and products.precision == "default":
        return "float32, rounded as the device does by default"
    return products.dtype


def describe_cost(cost: Cost) -> str:
    """Returns a line about the memory of the steps."""
    of_all = "" if cost.limit_bytes is None else f" of {describe_bytes(cost.limit_bytes)}"
    return (
        f"A training step takes {describe_bytes(cost.training_bytes)}{of_all} on each device, an "
        f"evaluation step {describe_bytes(cost.evaluation_bytes)}; compiled in "
        f"{cost.compile_s:.0f} s."
    )


def describe_time(config: ExperimentConfig, dataset: Dataset, step_s: float, first: int) -> str:
    """Returns a line about the time of an epoch, and of the rest of the run after step `first`."""
    epoch_s = stopping.steps_per_epoch(config.data, dataset) * step_s
    left = stopping.last_step(config, dataset) - first
    return (
        f"At {step_s:.3g} s per step an epoch takes {clock_time(epoch_s)}, and the "
        f"remaining {left:,} steps take {clock_time(left * step_s)}, without validation."
    )


def count_parameters(params: Params) -> dict[str, int]:
    """Returns the number of parameters of each tier, or of each part of a WaveNet."""
    return {
        name: sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tier))
        for name, tier in params.items()
    }
