"""The cost of a run over batch sizes, from measurements that take about a minute in all.

Real steps are measured from the smallest batch size up, the first one on a part of `seq_len`. Each
measurement predicts the time of the next one. A measurement that would not end in time is left out:
its figures are extrapolated, and marked with "~".
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from samplernn_jax import hardware
from samplernn_jax.config import ArchitectureConfig, ExperimentConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.evaluation.validation import compile_eval_step
from samplernn_jax.models.interface import abstract_params, init_params
from samplernn_jax.processes import from_first_process
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.training import plan, stopping
from samplernn_jax.training.plan import Cost
from samplernn_jax.training.step import init_state, map_train_step
from samplernn_jax.units import clock_time, describe_bytes

_BUDGET_S = 50.0
"""Seconds for measuring steps; the sampler and the start of the command make it about a minute."""

_LIVE_BLOCK_S = 0.02

_FACTORS = (0.25, 0.5, 1, 2, 4)
_FIRST_PART = 8
"""The number of parts of a segment; one part is measured first, as a whole may take minutes."""

_AS_FAST = 0.95
"""Batch sizes that reach this share of the highest samples per second count as equally fast."""


class Measurement(NamedTuple):
    """The cost of a step.

    Attributes:
        cost: memory and compile time of a call.
        step_s: seconds of a step; None where a device has too little memory for it.
    """

    cost: Cost
    step_s: float | None


Measure = Callable[[ExperimentConfig, Mesh], Measurement | None]
Play = Callable[[ArchitectureConfig, int], float]


class Row(NamedTuple):
    """The cost of a run with one batch size.

    Attributes:
        config: the run's configuration.
        memory_bytes: on each device.
        step_s: seconds of a step; None where a device has too little memory for it.
        is_measured: whether the cost was measured; otherwise it is extrapolated.
    """

    config: ExperimentConfig
    memory_bytes: int
    step_s: float | None
    is_measured: bool

    @property
    def samples_per_s(self) -> float:
        """The samples per second in training; 0 if the batch does not fit."""
        data = self.config.data
        return data.batch_size * data.seq_len / self.step_s if self.step_s else 0.0


def measure(config: ExperimentConfig, mesh: Mesh) -> Measurement | None:
    """Compiles a step and runs it twice; returns None if memory runs out although it should fit."""
    try:
        train_step = map_train_step(config, mesh)
        cost = plan.cost_of_call(train_step, compile_eval_step(config, mesh), config, mesh)
        if cost.missing_bytes:
            return Measurement(cost, None)
        call_s = plan.seconds_per_call(train_step, config, mesh)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None
    return Measurement(cost, call_s / config.parallel.steps_per_call)


def live_samples_per_s(config: ArchitectureConfig, sample_rate_hz: int) -> float:
    """Returns the samples per second of one stream of a random model; takes about a second."""
    generator = Generator(config, init_params(config, jax.random.key(0)), sample_rate_hz)
    block_s = max(_LIVE_BLOCK_S, 1 / sample_rate_hz)
    stream = generator.stream(jax.random.key(0), 1, block_s)
    seconds_per_block = hardware.seconds_per_call(lambda _: next(stream), None, seconds=1.0)
    return generator.num_samples("block_s", block_s) / seconds_per_block


def table(
    config: ExperimentConfig,
    dataset: Dataset,
    mesh: Mesh,
    measure: Measure = measure,
    play: Play = live_samples_per_s,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[str]:
    """Yields lines that announce each measurement, then the table and a recommendation.

    Args:
        config: the run's configuration.
        dataset: the dataset, with the lengths of its clips and its sample rate.
        mesh: the devices.
        measure: measures a step.
        play: measures the samples per second of one stream.
        clock: returns the time in seconds.
    """
    sizes = _over_batch_sizes(config, mesh)
    began, known = clock(), _Measurements(_constant_bytes(config))
    for candidate in dict.fromkeys([_part_of_a_segment(sizes[0]), *sizes]):
        ends_after_s = clock() - began + known.seconds_to_measure(candidate)
        if from_first_process(float(known.is_full or ends_after_s > _BUDGET_S)):
            break
        yield _announcement(candidate, known)
        known.add(candidate, measure(candidate, mesh))
    rows = [known.row(size) for size in sizes]
    yield "batch_size  memory/device    s/step   samples/s  steps/epoch  time/epoch     whole run"
    for row in rows:
        yield _line(row, known, dataset)
    yield _advice(rows, config, dataset, mesh)
    yield "Measuring the speed of generating one sequence."
    yield _whether_it_plays(play(config.model, dataset.sample_rate_hz), dataset.sample_rate_hz)


class _Timed(NamedTuple):
    """The timing of a step: its `_size`, its seconds, and the seconds to compile it."""

    size: int
    step_s: float
    compile_s: float


class _Measurements:
    """The measurements so far, with extrapolation to larger steps."""

    def __init__(self, constant_bytes: int) -> None:
        """Starts with the memory that every step takes."""
        self._measured: dict[ExperimentConfig, Measurement] = {}
        self._memory = [(0, constant_bytes)]  # by `_size`
        self._largest: _Timed | None = None
        self._ran_out_at = math.inf
        self.is_full = False  # the largest step did not fit
        self.limit_bytes: int | None = None

    def add(self, config: ExperimentConfig, measurement: Measurement | None) -> None:
        """Adds the measurement of a step larger than all before; None if memory ran out."""
        self.is_full = measurement is None or measurement.step_s is None
        if measurement is None:
            self._ran_out_at = _size(config)
            return
        cost, step_s = measurement
        self._measured[config] = measurement
        self._memory.append((_size(config), cost.memory_bytes))
        self.limit_bytes = cost.limit_bytes
        if step_s is not None:
            self._largest = _Timed(_size(config), step_s, cost.compile_s)

    def row(self, config: ExperimentConfig) -> Row:
        """Returns the measured or extrapolated cost of a configuration."""
        if config in self._measured:
            cost, step_s = self._measured[config]
            return Row(config, cost.memory_bytes, step_s, is_measured=True)
        step_s = None if self._is_too_large(config) else self._step_s(config)
        return Row(config, self._memory_bytes(config), step_s, is_measured=False)

    def seconds_to_measure(self, config: ExperimentConfig) -> float:
        """Returns the expected seconds to compile and for two calls; 0 before any measurement."""
        step_s = self._step_s(config)
        if self._largest is None or step_s is None:
            return 0.0
        return self._largest.compile_s + 2 * config.parallel.steps_per_call * step_s

    def _is_too_large(self, config: ExperimentConfig) -> bool:
        """Returns whether a device has too little memory for a configuration."""
        if _size(config) >= self._ran_out_at:
            return True
        return self.limit_bytes is not None and self._memory_bytes(config) > self.limit_bytes

    def _step_s(self, config: ExperimentConfig) -> float | None:
        """Returns seconds in proportion to the largest measured step; None without one."""
        if self._largest is None:
            return None
        return self._largest.step_s * _size(config) / self._largest.size

    def _memory_bytes(self, config: ExperimentConfig) -> int:
        """Returns the memory on a line through the two largest compiled steps, or one and none."""
        if len(self._memory) == 1:
            return self._memory[0][1]
        (x0, y0), (x1, y1) = self._memory[-2:]
        return round(y1 + (y1 - y0) * (_size(config) - x1) / (x1 - x0))


def _size(config: ExperimentConfig) -> int:
    """Returns the number of tokens in a step, with which its time and memory grow."""
    return config.data.batch_size * (config.model.overlap + config.data.seq_len)


def _over_batch_sizes(config: ExperimentConfig, mesh: Mesh) -> list[ExperimentConfig]:
    """Returns the configuration with batch sizes around its own, ascending."""
    evenly = mesh.size * config.parallel.microbatches
    sizes = [int(config.data.batch_size * factor) for factor in _FACTORS]
    return [
        dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=size))
        for size in sizes
        if size and size % evenly == 0
    ]


def _part_of_a_segment(config: ExperimentConfig) -> ExperimentConfig:
    top = config.model.top_frame_size
    seq_len = max(1, config.data.seq_len // _FIRST_PART // top) * top
    return dataclasses.replace(config, data=dataclasses.replace(config.data, seq_len=seq_len))


def _constant_bytes(config: ExperimentConfig) -> int:
    """Returns the bytes of parameters, optimizer and gradients, equal for all batch sizes."""
    params = abstract_params(config.model)
    state = jax.eval_shape(lambda params: init_state(config.optimizer, params), params)
    return plan.num_bytes((state, params))  # gradients are as large as the parameters


def _announcement(config: ExperimentConfig, known: _Measurements) -> str:
    data, seconds = config.data, known.seconds_to_measure(config)
    about = f", about {seconds:.0f} s" if seconds else ""
    return f"Measuring a step of {data.batch_size} rows of {data.seq_len} samples{about}."


def _line(row: Row, known: _Measurements, dataset: Dataset) -> str:
    mark = "" if row.is_measured else "~"
    batch = f"{row.config.data.batch_size:10}  {mark + describe_bytes(row.memory_bytes):>13}"
    if row.step_s is None:
        if known.limit_bytes is None or row.memory_bytes <= known.limit_bytes:
            return f"{batch}  too much memory"
        return f"{batch}  {describe_bytes(row.memory_bytes - known.limit_bytes)} too much"
    per_epoch = stopping.steps_per_epoch(row.config.data, dataset)
    whole_s = stopping.last_step(row.config, dataset) * row.step_s
    return (
        f"{batch}  {f'{mark}{row.step_s:.3g}':>8}  {f'{mark}{row.samples_per_s:,.0f}':>10}  "
        f"{per_epoch:11,.0f}  {mark + clock_time(per_epoch * row.step_s):>10}  "
        f"{mark + clock_time(whole_s):>12}"
    )


def _advice(rows: Sequence[Row], config: ExperimentConfig, dataset: Dataset, mesh: Mesh) -> str:
    """Returns the recommended row in words.

    If no whole step was measured, all rows have the same speed. Then the row of the configured
    batch size is recommended, or the largest that fits.
    """
    fitting = [row for row in rows if row.step_s is not None]
    if not fitting:
        return f"No batch size fits into memory; {plan.memory_advice(config, mesh)}."
    if any(row.is_measured for row in fitting):
        most = max(row.samples_per_s for row in fitting)
        best = next(row for row in fitting if row.samples_per_s >= _AS_FAST * most)
        why = f"no other that fits into memory is {1 - _AS_FAST:.0%} faster"
    else:
        best = next((row for row in fitting if row.config == config), fitting[-1])
        why = "it fits, and no whole step could be measured in time to compare speeds"
    assert best.step_s is not None, "it fits"
    last = stopping.last_step(best.config, dataset)
    return (
        f"Take --config.data.batch_size={best.config.data.batch_size}: {why}; its {last:,} steps "
        f"take {clock_time(last * best.step_s)}, without validation."
    )


def _whether_it_plays(samples_per_s: float, sample_rate_hz: int) -> str:
    times = samples_per_s / sample_rate_hz
    return (
        f"The model {'plays' if times >= 1 else 'does not play'} live on this machine: it "
        f"generates one sequence at {samples_per_s:,.0f} samples/s, {times:.2g} times real time "
        f"at {sample_rate_hz:,} Hz."
    )
