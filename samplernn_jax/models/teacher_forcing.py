"""Teacher forcing: a model run over given tokens, segment after segment, with the carry passed on.

Evaluation, scores and prompts all use `run`. They differ in what the step keeps of the predictions.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Int

from samplernn_jax.devices import Step, local_copy, map_step, shard_rows
from samplernn_jax.models.interface import ArchitectureConfig, architecture, initial_carry
from samplernn_jax.models.types import Carry, Conditions, Params, Predictions


class Inputs(NamedTuple):
    """A model's input for a segment, see `Architecture.apply`.

    Attributes:
        tokens: the overlap, then the targets.
        reset: the rows and frames of the top tier where a new clip starts; None for none.
        conditions: the conditioning of each row.
    """

    tokens: Any
    reset: Any = None
    conditions: Conditions = ()


class Rows(NamedTuple):
    """A step's output for each row.

    Attributes:
        carry: the carry for the next segment, whose step takes over its memory.
        kept: the values kept of the predictions, a pytree of [batch, ...].
    """

    carry: Carry
    kept: Any = ()


def run(
    step: Step, params: Params, carry: Carry, segments: Iterable[Any]
) -> Iterator[tuple[Any, Rows]]:
    """Yields the step's output for each segment: the part equal on all devices, and that by rows.

    Args:
        step: (params, carry, segment) -> (the same on all devices, `Rows`).
        params: the parameters, on every device.
        carry: the carry before the first segment, spread over the devices.
        segments: the segments, spread over the devices, as the step takes them.
    """
    for segment in segments:
        of_all, rows = step(params, carry, segment)
        carry = rows.carry
        yield of_all, rows


def spread_carry(config: ArchitectureConfig, params: Params, mesh: Mesh, num_rows: int) -> Carry:
    """Returns the carry before clips, spread over the devices.

    Args:
        config: the model's configuration.
        params: the parameters, on every device of the mesh.
        mesh: the devices.
        num_rows: the number of rows of this process.
    """
    return shard_rows(mesh, initial_carry(config, local_copy(params), num_rows))


def segments_of(
    config: ArchitectureConfig,
    mesh: Mesh,
    tokens: Int[np.ndarray, "rows time"],
    reset: Bool[np.ndarray, "rows frames"] | None,
    frames_at_once: int,
) -> Iterator[Inputs]:
    """Yields tokens in segments of equal length, each spread over the devices when it is needed.

    Args:
        config: the model's configuration.
        mesh: the devices.
        tokens: the overlap, and targets that fill whole segments.
        reset: the frames of the top tier that start a new clip; None for none.
        frames_at_once: the number of frames of the top tier in a segment.
    """
    overlap, size = config.overlap, frames_at_once * config.top_frame_size
    for number in range((tokens.shape[1] - overlap) // size):
        first, frame = number * size, number * frames_at_once
        starts = None if reset is None else reset[:, frame : frame + frames_at_once]
        yield shard_rows(mesh, Inputs(tokens[:, first : first + overlap + size], starts))


Keep = Callable[[Predictions, Inputs], Any]
"""Chooses the values to keep of the predictions for each row."""


@functools.cache
def forcing_step(config: ArchitectureConfig, mesh: Mesh, keep: Keep) -> Step:
    """Returns the step (params, carry, `Inputs`) -> ((), `Rows`) on a mesh; donates the carry."""
    model = architecture(config)

    def step(params: Params, carry: Carry, inputs: Inputs) -> tuple[tuple, Rows]:
        predictions = model.apply(params, inputs.tokens, carry, inputs.reset, inputs.conditions)
        return (), Rows(predictions.carry, keep(predictions, inputs))

    return map_step(step, mesh, "shard_map", donate=(1,))
