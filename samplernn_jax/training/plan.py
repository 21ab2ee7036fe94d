"""What a run takes, found out before it starts: parameters, memory and time."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

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
from samplernn_jax.sizes import describe_bytes
from samplernn_jax.training import stopping
from samplernn_jax.training.step import init_state


class Cost(NamedTuple):
    """What the steps of a run take.

    Attributes:
        training_bytes: on each device in one call of the training step, as XLA plans it: state,
            carry, segment and what is computed.
        evaluation_bytes: likewise in the evaluation step, while state and carry of training wait.
        limit_bytes: what each device has; None where it does not say.
        compile_s: seconds to compile them.
    """

    training_bytes: int
    evaluation_bytes: int
    limit_bytes: int | None
    compile_s: float

    @property
    def memory_bytes(self) -> int:
        """What each device must have."""
        return max(self.training_bytes, self.evaluation_bytes)

    @property
    def missing_bytes(self) -> int:
        """How much each device has too little; 0 where it fits or that is not known."""
        return 0 if self.limit_bytes is None else max(0, self.memory_bytes - self.limit_bytes)


def cost_of_call(train_step: Step, eval_step: Step, config: ExperimentConfig, mesh: Mesh) -> Cost:
    """Compiles the training step and the evaluation step for shapes alone.

    A call with arrays makes use of that under shard_map; under pmap it compiles again.
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
    waiting = _num_bytes(state) - _num_bytes(params) + _num_bytes(carry) // mesh.size
    return Cost(training, evaluation + waiting, memory_of_device(mesh), seconds)


def _segment_shapes(config: ExperimentConfig, mesh: Mesh) -> Segment:
    """Of what one call of the training step takes."""

    def of_batch(x: np.ndarray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((config.data.batch_size, *x.shape[1:]), x.dtype)

    return row_shapes(mesh, jax.tree.map(of_batch, random_segment(config, 1)))


def _bytes_of_call(step: Step, shared: Any, carry: Any, rows: Any) -> int:
    """Of a call with such shapes on each device."""
    analysis = step.lower(shared, carry, rows).compile().memory_analysis()
    return analysis.temp_size_in_bytes + analysis.argument_size_in_bytes


def _num_bytes(shapes: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def check_memory(cost: Cost, config: ExperimentConfig, mesh: Mesh) -> None:
    """Raises ValueError where a device has too little memory for training or for evaluation."""
    if cost.missing_bytes:
        step = "a training" if cost.training_bytes == cost.memory_bytes else "an evaluation"
        raise ValueError(
            f"data.batch_size={config.data.batch_size}: {step} step takes "
            f"{describe_bytes(cost.memory_bytes)} of each device, "
            f"{describe_bytes(cost.missing_bytes)} more than it has; {memory_advice(config, mesh)}"
        )


def memory_advice(config: ExperimentConfig, mesh: Mesh) -> str:
    """Which settings to change where memory runs out, in training or in evaluation."""
    lower = f"lower data.batch_size, data.seq_len (now {config.data.seq_len}) or model.dim"
    if config.parallel.microbatches >= config.data.batch_size // mesh.size:
        return lower
    return (
        f"raise parallel.microbatches (now {config.parallel.microbatches}), which changes no "
        f"result, or {lower}"
    )


@contextlib.contextmanager
def out_of_memory_as_sentence(config: ExperimentConfig, mesh: Mesh) -> Iterator[None]:
    """Says what to do where a device runs out of memory.

    Raises:
        ValueError: it did.
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


def describe(config: ExperimentConfig, dataset: Dataset, mesh: Mesh) -> Iterator[str]:
    """Lines that say what is trained, where and on what."""
    tiers = count_parameters(abstract_params(config.model))
    sizes = ", ".join(f"{name} {size:,}" for name, size in tiers.items())
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    yield (
        f"{sum(tiers.values()):,} parameters ({sizes}) on {mesh.size} {jax.default_backend()} "
        f"device(s){processes}; matrix products in {describe_products(config.model.products)}."
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


def describe_products(products: Products) -> str:
    """What matrices are multiplied in."""
    if products.dtype == "float32" and products.precision == "default":
        return "float32 as exactly as the device does by default"
    return products.dtype


def describe_cost(cost: Cost) -> str:
    """A line that says what the steps take."""
    of_all = "" if cost.limit_bytes is None else f" of {describe_bytes(cost.limit_bytes)}"
    return (
        f"A training step takes {describe_bytes(cost.training_bytes)}{of_all} on each device, an "
        f"evaluation step {describe_bytes(cost.evaluation_bytes)}; compiled in "
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


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.3g} s"
    return f"{minutes / 60:.1f} hours" if minutes >= 120 else f"{minutes:.1f} minutes"
