"""One training step and one evaluation step, written for one device among many.

Both run under a mapped axis named `AXIS` and see their device's rows only; `parallel` maps them.
A step takes and returns two things: what is the same on all devices, and what is sharded by rows.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array

from samplernn_jax.config import ModelConfig, OptimizerConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.losses import total_bits
from samplernn_jax.model import Carry, Params, SampleRNN

AXIS = "data"

Metrics = dict[str, Array]


class TrainState(NamedTuple):
    """What training changes, apart from the carry."""

    step: Array
    params: Params
    opt_state: optax.OptState


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Adam on element-wise clipped gradients; see `OptimizerConfig`."""
    return optax.chain(optax.clip(config.clip_value), optax.adam(config.learning_rate))


def init_state(
    config: ModelConfig, optimizer: optax.GradientTransformation, key: Array
) -> TrainState:
    """Fresh parameters and optimizer."""
    tokens = jnp.zeros((1, 2 * config.overlap), jnp.int32)
    params = SampleRNN(config).init(key, tokens)["params"]
    return TrainState(jnp.int32(0), params, optimizer.init(params))


def segment_bits(
    config: ModelConfig, params: Params, carry: Carry, segment: Segment
) -> tuple[Array, Carry]:
    """Bits of this device's unmasked targets in all, and the carry for the next segment."""
    tokens, mask, reset = map(jnp.asarray, segment)
    logits, carry = SampleRNN(config).apply({"params": params}, tokens, carry, reset)
    return total_bits(logits, tokens[:, config.overlap :], mask), carry


def gradients(
    config: ModelConfig, params: Params, carry: Carry, segment: Segment
) -> tuple[Params, Metrics, Carry]:
    """Gradients of the bits per sample of the whole batch, the same on every device.

    Each device differentiates its share of the mean, so that rows with many masked targets weigh
    as in one big batch. The parameters are first marked as varying: without that, the gradients
    that arrive are summed over the devices or not, depending on the map.
    """
    num_targets = lax.psum(jnp.sum(segment.mask), AXIS)

    def share(params: Params) -> tuple[Array, Carry]:
        bits, new_carry = segment_bits(config, params, carry, segment)
        return bits / jnp.maximum(num_targets, 1), new_carry

    varying = lax.pcast(params, AXIS, to="varying")
    (bits, new_carry), grads = jax.value_and_grad(share, has_aux=True)(varying)
    grads, bits = lax.psum((grads, bits), AXIS)
    metrics = {"bits": bits, "num_targets": num_targets, "grad_norm": optax.tree.norm(grads)}
    return grads, metrics, new_carry


def make_train_step(
    config: ModelConfig, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Carry, Segment], tuple[tuple[TrainState, Metrics], Carry]]:
    """The per-device training step: ((state, metrics), carry) from (state, carry, segment)."""

    def train_step(
        state: TrainState, carry: Carry, segment: Segment
    ) -> tuple[tuple[TrainState, Metrics], Carry]:
        grads, metrics, carry = gradients(config, state.params, carry, segment)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return (TrainState(state.step + 1, params, opt_state), metrics), carry

    return train_step


def make_eval_step(
    config: ModelConfig,
) -> Callable[[Params, Carry, Segment], tuple[Metrics, Carry]]:
    """The per-device evaluation step: (sums, carry) from (params, carry, segment)."""

    def eval_step(params: Params, carry: Carry, segment: Segment) -> tuple[Metrics, Carry]:
        bits, carry = segment_bits(config, params, carry, segment)
        sums = {"total_bits": bits, "num_targets": jnp.sum(segment.mask)}
        return lax.psum(sums, AXIS), carry

    return eval_step
