"""The training loop: segments in, checkpoints, metrics and sounds out."""

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from samplernn_jax.architectures import init_params, initial_carry
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data import synthetic
from samplernn_jax.data.baselines import Baselines, baselines, bigram_counts
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.opening import open_dataset
from samplernn_jax.data.preparation.build import build_dataset
from samplernn_jax.data.preparation.settings import BuildSettings
from samplernn_jax.data.segments import Segment, prefetch, training_segments
from samplernn_jax.plots import learning_curve
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.output import write_sequences
from samplernn_jax.training import interruption
from samplernn_jax.training.checkpoint import Checkpoints, Position
from samplernn_jax.training.evaluate import compile_eval_step, evaluate
from samplernn_jax.training.interruption import Interrupted
from samplernn_jax.training.metrics import MetricsWriter, read_metrics
from samplernn_jax.training.parallel import (
    Step,
    check_batch_size,
    local_copy,
    make_mesh,
    map_step,
    replicate,
    shard_rows,
)
from samplernn_jax.training.step import Metrics, init_state, make_train_step, repeat
from samplernn_jax.training.workdir import RunInfo, Workdir

Report = Callable[[str], None]


def train(config: ExperimentConfig, path: Path, report: Report) -> None:
    """Trains in a workdir, and goes on exactly where a stopped run with the same config was.

    Args:
        config: the experiment.
        path: the workdir; made if needed.
        report: gets the lines for the user.

    Raises:
        ValueError: the configuration does not fit the devices, the dataset or the run that the
            workdir holds.
        Interrupted: a signal asked the run to stop; where it was is saved.
    """
    mesh = make_mesh()
    check_batch_size(mesh, config.data.batch_size, config.parallel.microbatches)
    workdir = Workdir(path)
    imported = workdir.imported_model is not None
    config = _with_absolute_data_path(config)
    dataset = _open_dataset(config, workdir, report)
    info = RunInfo(config, dataset.sample_rate_hz, dataset.digest, imported)
    workdir.check_same_run(info)
    workdir.write_info(info)
    with Checkpoints(workdir, config.train) as checkpoints:
        start = _start(config, mesh, checkpoints)
        with MetricsWriter(workdir, int(start.state.step)) as writer:
            trainer = Trainer(config, workdir, dataset, mesh, checkpoints, writer, report)
            trainer.run(start)


def _with_absolute_data_path(config: ExperimentConfig) -> ExperimentConfig:
    if not config.data.path:
        return config
    data = dataclasses.replace(config.data, path=str(Path(config.data.path).absolute()))
    return dataclasses.replace(config, data=data)


def _open_dataset(config: ExperimentConfig, workdir: Workdir, report: Report) -> Dataset:
    path = workdir.data_path(config)
    if not config.data.path and not path.exists():
        report(f"Synthesising {config.data.synthetic_minutes:g} minutes of plucked strings.")
        build_dataset(
            synthetic.melodies(config.data.synthetic_minutes, config.seed),
            path,
            BuildSettings(
                sample_rate_hz=synthetic.SAMPLE_RATE_HZ,
                clip_s=synthetic.MELODY_S,
                remove_dc=False,  # would make equal notes of two melodies unequal
            ),
        )
    return open_dataset(path, config.data)


def _start(config: ExperimentConfig, mesh: Mesh, checkpoints: Checkpoints) -> Position:
    """The latest checkpoint, or a fresh start."""
    params = init_params(config.model, jax.random.key(config.seed))
    state = init_state(config.optimizer, params)
    carry = initial_carry(config.model, state.params, config.data.batch_size)
    fresh = Position(replicate(mesh, state), shard_rows(mesh, carry))
    return fresh if checkpoints.latest_step is None else checkpoints.restore(like=fresh)


def _training_segments(
    config: ExperimentConfig, dataset: Dataset, start_step: int
) -> Iterator[Segment]:
    data = config.data
    return training_segments(
        dataset.splits["train"],
        data.batch_size,
        data.seq_len,
        config.model,
        config.seed,
        start_step,
    )


def _in_groups(segments: Iterator[Segment], size: int) -> Iterator[Segment]:
    """Several segments as one, with an axis of steps after the rows; one alone stays as it is."""
    if size == 1:
        return segments
    groups = iter(lambda: list(itertools.islice(segments, size)), [])
    return (jax.tree.map(lambda *parts: np.stack(parts, axis=1), *group) for group in groups)


@dataclasses.dataclass
class Trainer:
    """The loop itself, and what happens in it now and then."""

    config: ExperimentConfig
    workdir: Workdir
    dataset: Dataset
    mesh: Mesh
    checkpoints: Checkpoints
    writer: MetricsWriter
    report: Report

    def __post_init__(self) -> None:
        model = self.config.model
        counts = {
            name: bigram_counts(self.dataset.splits[name], model) for name in ("train", "valid")
        }
        self.baselines: Baselines = baselines(counts["train"], counts["valid"])
        self.eval_step: Step = compile_eval_step(self.config, self.mesh)
        self.window = _Window()

    def run(self, position: Position) -> None:
        """Trains from `position` to the configured number of steps."""
        config, first = self.config, int(position.state.step)
        step_config = config.parallel
        at_once = step_config.steps_per_call
        train_step = make_train_step(config.model, config.optimizer, step_config.microbatches)
        if at_once > 1:
            train_step = repeat(train_step)
        mapped = map_step(train_step, self.mesh, step_config.map, donate=(0, 1))
        self._describe(position)
        segments = prefetch(
            shard_rows(self.mesh, segment)
            for segment in _in_groups(_training_segments(config, self.dataset, first), at_once)
        )
        num_steps = config.train.num_steps
        with (
            interruption.noticed() as request,
            contextlib.closing(segments),
            tqdm(total=num_steps, initial=first, unit="step", disable=None) as bar,
        ):
            for step in range(first + at_once, num_steps + 1, at_once):
                (state, metrics), carry = mapped(*position, next(segments))
                position = Position(state, carry)
                self.window.add(metrics)
                bar.update(at_once)
                is_checkpoint = step % config.train.valid_every == 0 or step == num_steps
                if is_checkpoint or step % config.train.log_every == 0:
                    self._log(step, wait=is_checkpoint, bar=bar)
                if is_checkpoint:
                    self._checkpoint(step, position)
                if request.signal_number is not None:
                    self._interrupt(step, position, request.signal_number, is_checkpoint, bar)

    def _interrupt(
        self, step: int, position: Position, signal_number: int, is_saved: bool, bar: tqdm
    ) -> None:
        """Saves, without taking the time to validate, and ends the run."""
        if not is_saved:
            self._log(step, wait=True, bar=bar)
            self.checkpoints.save(position, valid_bits=math.inf)
        raise Interrupted(
            f"Stopped after step {step}, which is saved; the same command goes on from there.",
            signal_number,
        )

    def _describe(self, position: Position) -> None:
        first, num_steps = int(position.state.step), self.config.train.num_steps
        train, valid = self.dataset.splits["train"], self.dataset.splits["valid"]
        rate, data = self.dataset.sample_rate_hz, self.config.data
        num_params = sum(x.size for x in jax.tree.leaves(position.state.params))
        per_epoch = train.num_samples / (data.batch_size * data.seq_len)
        self.report(
            f"{num_params:,} parameters on {self.mesh.size} {jax.default_backend()} device(s); "
            f"{train.num_samples / rate / 60:.1f} minutes of audio at {rate} Hz to train on, "
            f"{valid.num_samples / rate / 60:.1f} to validate; {per_epoch:.0f} steps per epoch."
        )
        self.report(
            f"Bits per sample without a model: histogram {self.baselines.histogram_bits:.3f}, "
            f"bigram {self.baselines.bigram_bits:.3f}."
        )
        if first >= num_steps:
            self.report(f"Trained {first} steps already; raise train.num_steps to go on.")
        elif first:
            self.report(f"Going on after step {first}.")

    def _log(self, step: int, wait: bool, bar: tqdm) -> None:
        """Logs the steps since the last entry.

        Unless `wait`, the newest is left for the next entry, so that the device never waits.
        """
        values = self.window.take(wait)
        if values:
            bar.set_postfix_str(
                f"{values.get('train_bits', math.nan):.3f} bits, "
                f"{values['samples_per_s']:,.0f} samples/s"
            )
            self._check_skipped(step, values)
            newest = step if wait else step - self.config.parallel.steps_per_call
            self.writer.scalars(newest, values)

    def _check_skipped(self, step: int, values: dict[str, float]) -> None:
        """Warns of steps that were skipped, and stops where nothing else happens any more."""
        if "skipped_steps" not in values:
            return
        in_a_row = self.window.skipped_in_a_row
        if in_a_row >= self.config.train.max_skipped:
            raise ValueError(
                f"step {step}: the bits or gradients of the last {in_a_row} steps were not finite; "
                "lower optimizer.learning_rate, or set optimizer.clip_norm=1, and run again, which "
                "goes on from the last checkpoint"
            )
        self.report(
            f"step {step}: {values['skipped_steps']:.0f} steps were skipped, as their bits or "
            "gradients were not finite."
        )

    def _checkpoint(self, step: int, position: Position) -> None:
        config, params = self.config, position.state.best_params
        result = evaluate(
            self.eval_step,
            config,
            self.mesh,
            params,
            self.dataset.splits["valid"],
            config.train.valid_segments,
        )
        _check_finite(step, result.bits_per_sample)
        self.writer.scalars(step, {"valid_bits": result.bits_per_sample})
        entries = read_metrics(self.workdir)
        learning_curve(self.workdir.learning_curve, entries, self.baselines._asdict())
        self._report_progress(step, entries)
        every = config.sample.every
        if step == config.train.num_steps or (every and step % every == 0):
            self._sample(step, position)
        # Last, so that a run that is stopped before goes through all of the above again.
        self.checkpoints.save(position, result.bits_per_sample)
        self.window.restart()

    def _report_progress(self, step: int, entries: list[dict]) -> None:
        values = {name: value for entry in entries for name, value in entry.items()}
        num_steps = self.config.train.num_steps
        best = min((e for e in entries if "valid_bits" in e), key=lambda e: e["valid_bits"])
        left_s = (num_steps - step) / values["steps_per_s"]
        self.report(
            f"step {step}/{num_steps}: {values['train_bits']:.3f} bits per sample in training, "
            f"{values['valid_bits']:.3f} in validation (best {best['valid_bits']:.3f} at step "
            f"{best['step']}), {values['samples_per_s']:,.0f} samples/s, "
            f"{tqdm.format_interval(left_s)} left"
        )

    def _sample(self, step: int, position: Position) -> None:
        sample, rate = self.config.sample, self.dataset.sample_rate_hz
        generator = Generator(self.config.model, local_copy(position.state.best_params), rate)
        sequences = generator.generate(
            jax.random.fold_in(jax.random.key(self.config.seed), step),
            sample.num_sequences,
            sample.duration_s,
            sample.temperature,
        )
        folder = self.workdir.samples(step)
        write_sequences(folder, sequences, rate, prefix=f"temperature_{sample.temperature:g}")
        for number, waveform in enumerate(sequences):
            self.writer.audio(step, f"sample_{number}", waveform, rate)
        self.report(f"Generated {len(sequences)} wavs and spectrograms in {folder}.")


def _check_finite(step: int, bits: float) -> None:
    """Stops before a checkpoint of broken parameters replaces a good one."""
    if not math.isfinite(bits):
        raise ValueError(
            f"step {step}: bits per sample are {bits}, the training has diverged; lower "
            "optimizer.learning_rate and run again, which goes on from the last checkpoint"
        )


class _Window:
    """The metrics of the steps since the last log entry, still on the device."""

    def __init__(self) -> None:
        self._pending: list[Metrics] = []
        self.skipped_in_a_row = 0
        self.restart()

    def restart(self) -> None:
        """Starts the clock at the next step, so that what happens outside does not count."""
        self._began = 0.0
        self._untimed = 1  # the first call is dispatched, and maybe compiled, before the clock

    def add(self, metrics: Metrics) -> None:
        """Adds a call that was dispatched, of one step or of several."""
        if not self._began:
            self._began = time.perf_counter()
        self._pending.append(metrics)

    def take(self, wait: bool) -> dict[str, float]:
        """Means over the finished steps, or with `wait` over all; {} where there is none.

        Skipped steps are counted, and have no part in the means.
        """
        count = len(self._pending) if wait else len(self._pending) - 1
        taken, self._pending = jax.device_get(self._pending[:count]), self._pending[count:]
        if not taken:
            return {}
        now = time.perf_counter()
        columns = {
            name: np.concatenate([np.atleast_1d(metrics[name]) for metrics in taken])
            for name in taken[0]
        }
        targets, skipped = columns["num_targets"].astype(np.float64), columns["skipped"]
        self.skipped_in_a_row = int(skipped[-1])
        untimed = self._untimed * len(skipped) // len(taken)
        timed = targets[untimed:].sum() or targets.sum()
        values = {
            "steps_per_s": max(len(skipped) - untimed, 1) / (now - self._began),
            "samples_per_s": float(timed / (now - self._began)),
        }
        done = skipped == 0
        if not done.all():
            values["skipped_steps"] = float(np.count_nonzero(~done))
        if done.any():
            weights = targets[done] / max(targets[done].sum(), 1.0)
            values["train_bits"] = float(columns["bits"][done] @ weights)
            values["grad_norm"] = float(columns["grad_norm"][done].mean())
            if "independent_bits" in columns:
                values["independent_bits"] = float(columns["independent_bits"][done] @ weights)
        self._began, self._untimed = now, 0
        return values
