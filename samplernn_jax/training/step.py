"""The training step, written for one device among many.

It runs under a mapped axis named `AXIS` and sees only its device's rows; `devices` maps it. It
takes and returns two kinds of values: those equal on all devices, and those sharded by rows.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array

from samplernn_jax.config import ArchitectureConfig, ExperimentConfig, OptimizerConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.devices import AXIS, Step, map_step
from samplernn_jax.evaluation.step import SegmentBits, join_rows, segment_bits, split_rows
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.models.types import Carry, Params
from samplernn_jax.training.optimizer import make_optimizer

Metrics = dict[str, Array]


class TrainState(NamedTuple):
    """The state of training, apart from the carry.

    Attributes:
        step: the number of steps so far, including skipped ones.
        params: the parameters.
        opt_state: the state of the optimizer.
        average: the moving average of the parameters; None if there is none.
        skipped: the number of latest steps in a row that were skipped, as bits or gradients were
            not finite.
    """

    step: Array
    params: Params
    opt_state: optax.OptState
    average: Params | None
    skipped: Array

    @property
    def best_params(self) -> Params:
        """The parameters for evaluation and sampling: the average, if there is one."""
        return self.params if self.average is None else self.average


def init_state(config: OptimizerConfig, params: Params) -> TrainState:
    """Returns the state before the first step, with the given parameters."""
    average = jax.tree.map(jnp.copy, params) if config.ema_decay else None
    opt_state = make_optimizer(config).init(params)
    return TrainState(jnp.int32(0), params, opt_state, average, jnp.int32(0))


def gradients(
    config: ArchitectureConfig,
    optimizer: OptimizerConfig,
    params: Params,
    carry: Carry,
    segment: Segment,
    microbatches: int = 1,
) -> tuple[Params, Metrics, Carry]:
    """Returns the gradients of the loss over the whole batch, the same on every device.

    The loss is the bits per sample, plus those of the independent predictions times their weight.

    Each device differentiates its share of the mean, so that rows with many masked targets weigh
    as in one big batch. The parameters are first marked as varying: without that, the gradients
    that arrive are summed over the devices or not, depending on the map.
    """
    weight = optimizer.independent_preds_weight
    num_targets = lax.psum(jnp.sum(segment.mask), AXIS)

    def share(
        params: Params, carry: Carry, segment: Segment
    ) -> tuple[Array, tuple[SegmentBits, Carry]]:
        bits, new_carry = segment_bits(config, params, carry, segment)
        bits = jax.tree.map(lambda x: x / jnp.maximum(num_targets, 1), bits)
        minimised = bits.total
        if weight > 0 and bits.independent is not None:
            minimised = minimised + weight * bits.independent
        return minimised, (bits, new_carry)

    varying = lax.pcast(params, AXIS, to="varying")
    gradient_of_share = partial(jax.grad(share, has_aux=True), varying)
    if microbatches == 1:
        grads, (bits, new_carry) = gradient_of_share(carry, segment)
    else:
        grads, bits, new_carry = _accumulate(gradient_of_share, carry, segment, microbatches)
    grads, bits = lax.psum((grads, bits), AXIS)
    metrics = {
        "bits": bits.total,
        "num_targets": num_targets,
        "grad_norm": optax.tree.norm(grads),
    }
    if bits.independent is not None:
        metrics["independent_bits"] = bits.independent
    return grads, metrics, new_carry


def _accumulate(
    gradient_of_share: Callable[[Carry, Segment], tuple[Params, tuple[SegmentBits, Carry]]],
    carry: Carry,
    segment: Segment,
    microbatches: int,
) -> tuple[Params, SegmentBits, Carry]:
    """Returns the sums over the parts of the rows, which are computed one after the other."""
    parts = split_rows((carry, segment), microbatches)
    shapes = jax.eval_shape(gradient_of_share, *jax.tree.map(lambda x: x[0], parts))
    sums = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (shapes[0], shapes[1][0]))
    sums = lax.pcast(sums, AXIS, to="varying")

    def add_part(sums: tuple, part: tuple[Carry, Segment]) -> tuple[tuple, Carry]:
        grads, (bits, new_carry) = gradient_of_share(*part)
        return jax.tree.map(jnp.add, sums, (grads, bits)), new_carry

    (grads, bits), new_carry = lax.scan(add_part, sums, parts)
    return grads, bits, join_rows(new_carry)


TrainStep = Callable[[TrainState, Carry, Segment], tuple[tuple[TrainState, Metrics], Carry]]
"""A step (state, carry, segment) -> ((state, metrics), carry)."""


def make_train_step(
    config: ArchitectureConfig, optimizer_config: OptimizerConfig, microbatches: int = 1
) -> TrainStep:
    """Returns the per-device training step."""
    optimizer = make_optimizer(optimizer_config)

    def update(state: TrainState, grads: Params) -> TrainState:
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            average = optax.incremental_update(params, average, 1 - optimizer_config.ema_decay)
        return TrainState(state.step + 1, params, opt_state, average, jnp.int32(0))

    def train_step(
        state: TrainState, carry: Carry, segment: Segment
    ) -> tuple[tuple[TrainState, Metrics], Carry]:
        grads, metrics, new_carry = gradients(
            config, optimizer_config, state.params, carry, segment, microbatches
        )
        is_finite = jnp.isfinite(metrics["bits"]) & jnp.isfinite(metrics["grad_norm"])
        skipping = state._replace(step=state.step + 1, skipped=state.skipped + 1)
        old_carry = _without_ended_clips(config, state.params, carry, segment)
        state, carry = optax.tree.where(
            is_finite, (update(state, grads), new_carry), (skipping, old_carry)
        )
        return (state, {**metrics, "skipped": state.skipped}), carry

    return train_step


def _without_ended_clips(
    config: ArchitectureConfig, params: Params, carry: Carry, segment: Segment
) -> Carry:
    """Returns the carry before a segment, with h0 in rows where a clip begins in the segment.

    After a skipped segment, the next one goes on in that clip, which the states before the skipped
    segment do not know.
    """
    begins = jnp.any(jnp.asarray(segment.reset).reshape(len(segment.reset), -1), axis=1)
    fresh = initial_carry(config, params, len(begins))
    return jax.tree.map(lambda new, old: jnp.where(begins[:, None, None], new, old), fresh, carry)


def repeat(train_step: TrainStep) -> TrainStep:
    """Returns several steps in one call; segments have an axis of steps after the rows.

    Metrics have the axis of steps in front.
    """

    def run(
        state: TrainState, carry: Carry, segments: Segment
    ) -> tuple[tuple[TrainState, Metrics], Carry]:
        def one(
            position: tuple[TrainState, Carry], segment: Segment
        ) -> tuple[tuple[TrainState, Carry], Metrics]:
            (state, metrics), carry = train_step(*position, segment)
            return (state, carry), metrics

        by_step = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), segments)
        (state, carry), metrics = lax.scan(one, (state, carry), by_step)
        return (state, metrics), carry

    return run


def map_train_step(config: ExperimentConfig, mesh: Mesh) -> Step:
    """Returns the training step, mapped as `config.parallel` says; state and carry are donated."""
    train_step = make_train_step(config.model, config.optimizer, config.parallel.microbatches)
    if config.parallel.steps_per_call > 1:
        train_step = repeat(train_step)
    return map_step(train_step, mesh, config.parallel.map, donate=(0, 1))
