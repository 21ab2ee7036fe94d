"""Positions of a training run, from which it goes on exactly, and their checkpoints."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from samplernn_jax.models.types import Carry
from samplernn_jax.runs.checkpoint import Checkpoint
from samplernn_jax.training.step import TrainState


class Position(NamedTuple):
    """The state after a step, and the carry for the next one."""

    state: TrainState
    carry: Carry


def to_checkpoint(position: Position) -> Checkpoint:
    """Returns the checkpoint of a position.

    Its `params` are the moving average if there is one; then `rest` has the parameters themselves.
    """
    state, carry = position
    rest = {**state._asdict(), "carry": carry}
    del rest["average"]
    if state.average is None:
        del rest["params"]
    return Checkpoint(state.best_params, rest)


def from_checkpoint(checkpoint: Checkpoint, fresh: Position) -> Position:
    """Returns the position of a checkpoint.

    Args:
        checkpoint: a checkpoint of the same run, or an imported model.
        fresh: the start of the run, which supplies all but the parameters of an imported model.
    """
    params, rest = checkpoint
    has_average = fresh.state.average is not None
    if rest is None:
        average = jax.tree.map(jnp.copy, params) if has_average else None
        return fresh._replace(state=fresh.state._replace(params=params, average=average))
    saved = {name: value for name, value in rest.items() if name != "carry"}
    named = {"average": params} if has_average else {"params": params, "average": None}
    return Position(TrainState(**saved, **named), rest["carry"])
