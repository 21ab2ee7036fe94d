"""The original's optimizer, Adam as in lasagne, with optional schedules, clipping and averages."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from samplernn_jax.config import OptimizerConfig

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Returns the optimizer; the structure of its state is the same for every configuration."""
    return optax.chain(
        optax.clip(config.clip_value) if config.clip_value else optax.identity(),
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        scale_by_lasagne_adam(),
        optax.scale_by_learning_rate(learning_rate_schedule(config)),
    )


def learning_rate_schedule(config: OptimizerConfig) -> optax.Schedule:
    """Returns the learning rate as a function of the number of updates so far."""
    peak = config.learning_rate
    after: optax.Schedule
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, config.decay_steps, config.decay_rate)
    elif config.schedule == "exponential":
        after = optax.exponential_decay(peak, config.decay_steps, config.decay_rate)
    else:
        after = optax.constant_schedule(peak)
    if config.warmup_steps == 0:
        return after
    # The first update already takes a small step, and the last update of the warm-up a full one.
    rising = optax.linear_schedule(peak / config.warmup_steps, peak, config.warmup_steps - 1)
    return optax.join_schedules([rising, after], [config.warmup_steps])


class LasagneAdamState(NamedTuple):
    """The number of updates so far, and the moving means of the gradients and their squares."""

    num_updates: Array
    mean: optax.Params
    mean_of_squares: optax.Params


def scale_by_lasagne_adam() -> optax.GradientTransformation:
    """Returns Adam (Kingma and Ba 2015) in the efficient form of its section 2, as in lasagne.

    Epsilon is added to the square root before the bias of the mean of squares is corrected, which
    at the first step makes it 32 times larger than in `optax.scale_by_adam`.
    """

    def init(params: optax.Params) -> LasagneAdamState:
        zeros_like = optax.tree.zeros_like  # called twice, as a buffer can be donated only once
        return LasagneAdamState(jnp.int32(0), zeros_like(params), zeros_like(params))

    def update(
        grads: optax.Updates, state: LasagneAdamState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, LasagneAdamState]:
        del params
        num_updates = state.num_updates + 1
        mean = optax.tree.update_moment(grads, state.mean, BETA_1, 1)
        squares = optax.tree.update_moment(grads, state.mean_of_squares, BETA_2, 2)
        correction = jnp.sqrt(1 - BETA_2**num_updates) / (1 - BETA_1**num_updates)
        updates = jax.tree.map(lambda m, v: correction * m / (jnp.sqrt(v) + EPSILON), mean, squares)
        return updates, LasagneAdamState(num_updates, mean, squares)

    return optax.GradientTransformation(init, update)
