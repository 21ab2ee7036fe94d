"""The training loop: segments in; checkpoints, metrics and audio out."""

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Generator, Iterator
from typing import NoReturn

import jax
import numpy as np
from jax.sharding import Mesh

from samplernn_jax.checks import require
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.segments import Segment, prefetch, training_segments
from samplernn_jax.devices import Step, local_copy, replicate, rows_of_process, shard_rows
from samplernn_jax.evaluation.validation import compile_eval_step, evaluate
from samplernn_jax.interruption import Interrupted, Request, RunStatus, noticed
from samplernn_jax.models.interface import init_params, initial_carry
from samplernn_jax.models.types import Params
from samplernn_jax.processes import from_first_process, is_first_process
from samplernn_jax.runs.checkpoint import IMPORTED_STEP, Checkpoints
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.training import plan, stopping
from samplernn_jax.training.disk import check_disk, full_disk_as_sentence
from samplernn_jax.training.logbook import Logbook, Report
from samplernn_jax.training.position import Position, from_checkpoint, to_checkpoint
from samplernn_jax.training.step import init_state, map_train_step
from samplernn_jax.training.window import Window

_TIMED_CALLS = range(1, 3)
"""The calls of the step that give an estimate of an epoch's time; the first one warms up."""


def _start(
    config: ExperimentConfig, mesh: Mesh, checkpoints: Checkpoints, step: int | None
) -> Position:
    """Returns the position after `step`, or the start of the run for None."""
    params = init_params(config.model, jax.random.key(config.seed))
    state = init_state(config.optimizer, params)
    num_rows = len(rows_of_process(mesh, config.data.batch_size))
    carry = initial_carry(config.model, state.params, num_rows)
    fresh = Position(replicate(mesh, state), shard_rows(mesh, carry))
    if step is None:
        return fresh
    return from_checkpoint(checkpoints.restore(to_checkpoint(fresh), step), fresh)


def _in_groups(segments: Iterator[Segment], size: int) -> Iterator[Segment]:
    """Yields segments joined in groups, with an axis of steps after the rows; none for size 1."""
    if size == 1:
        return segments
    groups = iter(lambda: list(itertools.islice(segments, size)), [])
    return (jax.tree.map(lambda *parts: np.stack(parts, axis=1), *group) for group in groups)


@dataclasses.dataclass
class Trainer:
    """The training loop, with logging, checkpoints, validation and generated audio."""

    config: ExperimentConfig
    dataset: Dataset
    mesh: Mesh
    checkpoints: Checkpoints
    report: Report
    request: Request

    def __post_init__(self) -> None:
        self.last_step = stopping.last_step(self.config, self.dataset)
        self.eval_step: Step = compile_eval_step(self.config, self.mesh)
        self.window = Window()
        self.timed_from: float | None = None
        self.logbook: Logbook | None = None
        self.status = RunStatus(0, 0)

    def run(self, workdir: Workdir, from_step: int | None = None) -> None:
        """Trains until the run is over.

        Args:
            workdir: the workdir of the run.
            from_step: the checkpoint to go on from; later ones are removed once it is clear that
                the run can go on. None for the latest, or for the beginning if there is none.

        Raises:
            ValueError: there is no such checkpoint, or the run cannot go on from it.
        """
        checkpoint = self._checkpoint_to_go_on_from(from_step)
        first = checkpoint or 0
        is_validated = checkpoint is None or self.checkpoints.is_validated(first)
        validation_is_due = not is_validated and self._is_to_be_validated(first)
        if first and not validation_is_due and self._is_over(first):
            return
        self._check_steps_per_call(first)
        check_disk(self.config, workdir)
        with (
            plan.out_of_memory_as_sentence(self.config, self.mesh),
            full_disk_as_sentence(workdir),
            contextlib.ExitStack() as stack,
        ):
            train_step = self._compiled_step()
            position = _start(self.config, self.mesh, self.checkpoints, checkpoint)
            if from_step is not None:
                self.checkpoints.go_back(from_step)
            if is_first_process():
                logbook = Logbook(
                    self.config, workdir, self.dataset, self.report, first, is_validated
                )
                self.logbook = stack.enter_context(logbook)
            if first:
                self.report(f"Going on after step {first}.")
            self.status = RunStatus(first, first)
            stack.enter_context(noticed(self.request, self.status))
            if validation_is_due and self._validate(first, position.state.best_params):
                return
            segments = stack.enter_context(contextlib.closing(self._segments(first)))
            self._loop(train_step, position, segments)

    def _checkpoint_to_go_on_from(self, from_step: int | None) -> int | None:
        """Returns the step of the checkpoint, the same in all processes; None in a new run."""
        if from_step is None:
            latest = self.checkpoints.latest_step
            agreed = int(from_first_process(-1.0 if latest is None else float(latest)))
            return None if agreed < 0 else agreed
        require(
            from_step < self.last_step,
            f"from_step={from_step}: must be below {self.last_step}, the last step of the run",
        )
        self.checkpoints.check_step(from_step)
        return from_step

    def _check_steps_per_call(self, first: int) -> None:
        at_once = self.config.parallel.steps_per_call
        require(
            first % at_once == 0,
            f"parallel.steps_per_call={at_once}: must divide {first}, the step after which the "
            "run goes on",
        )

    def _compiled_step(self) -> Step:
        """Returns the training step, and prints the memory that it takes.

        Raises:
            ValueError: a device has too little memory.
        """
        train_step = map_train_step(self.config, self.mesh)
        cost = plan.cost_of_call(train_step, self.eval_step, self.config, self.mesh)
        plan.check_memory(cost, self.config, self.mesh)
        self.report(plan.describe_cost(cost))
        return train_step

    def _is_to_be_validated(self, step: int) -> bool:
        return step % self.config.train.valid_every == 0 or step == self.last_step

    def _is_over(self, step: int) -> bool:
        """Returns whether nothing is left to do; if so, prints the reason."""
        best_bits, best_step = self.checkpoints.best_until(step) or (math.inf, 0)
        if step >= self.last_step:
            self.report(
                f"Trained {step} steps already; raise train.num_steps"
                f"{' and train.num_epochs' if self.config.train.num_epochs else ''} to go on."
            )
            return True
        if stopping.is_out_of_patience(self.config, step, best_step):
            self.report(
                f"Validation has not improved on the {best_bits:.3f} bits of step "
                f"{best_step}; raise train.patience to go on."
            )
            return True
        return False

    def _segments(self, first: int) -> Generator[Segment, None, None]:
        """Yields segments on the devices; each process reads only its own rows."""
        data, train = self.config.data, self.dataset.splits["train"]
        rows = rows_of_process(self.mesh, data.batch_size)
        segments = training_segments(
            *(train, data.batch_size, data.seq_len, self.config.model),
            *(self.config.seed, first, rows),
        )
        groups = _in_groups(segments, self.config.parallel.steps_per_call)
        return prefetch(shard_rows(self.mesh, segment) for segment in groups)

    def _loop(self, train_step: Step, position: Position, segments: Iterator[Segment]) -> None:
        config, first = self.config.train, int(position.state.step)
        at_once = self.config.parallel.steps_per_call
        for call, step in enumerate(range(first + at_once, self.last_step + 1, at_once), 1):
            self.status.step = step
            (state, metrics), carry = train_step(*position, next(segments))
            position = Position(state, carry)
            self.window.add(metrics)
            if self.logbook:
                self.logbook.advance(at_once)
            self._time_first_calls(call, step)
            is_due = self._is_to_be_validated(step)
            is_stopping = self.request.is_due(range(step - at_once + 1, step + 1))
            if is_due or is_stopping or step % config.log_every == 0:
                self._log(step, wait=is_due or is_stopping)
            if is_due or is_stopping:
                self.checkpoints.save(step, to_checkpoint(position))
                self.status.saved_step = step
            if is_stopping:
                self._interrupt(step)
            if is_due and self._validate(step, state.best_params):
                return

    def _time_first_calls(self, call: int, step: int) -> None:
        """Prints the time of an epoch, once it is known."""
        finished = call - 1
        if finished == _TIMED_CALLS.start:
            self.window.wait_for_previous()
            self.timed_from = time.perf_counter()
        elif finished == _TIMED_CALLS.stop and self.timed_from:
            self.window.wait_for_previous()
            steps = len(_TIMED_CALLS) * self.config.parallel.steps_per_call
            step_s = (time.perf_counter() - self.timed_from) / steps
            self.report(plan.describe_time(self.config, self.dataset, step_s, step))

    def _interrupt(self, step: int) -> NoReturn:
        """Ends the run without taking the time to validate the saved checkpoint."""
        self.checkpoints.prune()
        raise Interrupted(
            f"Stopped after step {step}, which is saved; the same command goes on from there.",
            self.request.exit_code,
        )

    def _log(self, step: int, wait: bool) -> None:
        """Logs the steps since the last entry.

        Unless `wait`, the newest step is left for the next entry, so that the device never waits.
        """
        values = self.window.take(wait)
        if not values:
            return
        self._check_skipped(step, values)
        if self.logbook:
            self.logbook.log(step if wait else step - self.config.parallel.steps_per_call, values)

    def _check_skipped(self, step: int, values: dict[str, float]) -> None:
        """Warns of skipped steps; raises ValueError if too many were skipped in a row."""
        if "skipped_steps" not in values:
            return
        in_a_row = self.window.skipped_in_a_row
        require(
            in_a_row < self.config.train.max_skipped,
            f"step {step}: the bits or gradients of the last {in_a_row} steps were not finite; "
            "lower optimizer.learning_rate, or set optimizer.clip_norm=1, and run again to go "
            "on from the last checkpoint",
        )
        self.report(
            f"step {step}: {values['skipped_steps']:.0f} steps were skipped because their bits or "
            "gradients were not finite."
        )

    def _validate(self, step: int, params: Params) -> bool:
        """Validates a checkpoint, and generates audio; returns whether the run is over."""
        with self.request.ends_at_once(
            f"Stopped after step {step}, which is saved; the same command goes on with its "
            "validation."
        ):
            valid = self.dataset.splits["valid"]
            result = evaluate(self.eval_step, self.config, self.mesh, params, valid)
            bits = result.bits_per_sample
            self._check_finite(step, bits)
            best_bits, best_step = min((bits, step), self.checkpoints.best or (math.inf, 0))
            is_over = step >= self.last_step or stopping.is_out_of_patience(
                self.config, step, best_step
            )
            if self.logbook:
                self.logbook.validated(step, bits)
                every = self.config.sample.every
                if is_over or (every and step % every == 0):
                    self.logbook.sample(step, local_copy(params))
        # Last, so that a run that is stopped before this line repeats all of the above.
        self.checkpoints.record(step, bits)
        self.checkpoints.prune()
        self.window.restart()
        self.timed_from = None  # it would include the validation
        if is_over and step < self.last_step:
            self.report(
                f"Stopped after step {step}: validation has not improved on the "
                f"{best_bits:.3f} bits of step {best_step}."
            )
        return is_over

    def _check_finite(self, step: int, bits: float) -> None:
        """Raises ValueError if the bits are not finite, and removes the checkpoint."""
        if math.isfinite(bits):
            return
        if step == IMPORTED_STEP:
            raise ValueError(f"the imported model has {bits} bits per sample in validation")
        self.checkpoints.remove(step)
        raise ValueError(
            f"step {step}: bits per sample are {bits}, as the training has diverged; lower "
            "optimizer.learning_rate and run again to go on from the last checkpoint"
        )
