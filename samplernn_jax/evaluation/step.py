"""The bits of one segment on one device among many, and the evaluation step that sums them.

The step runs under a mapped axis named `AXIS` and sees only its device's rows.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.devices import AXIS
from samplernn_jax.losses import total_bits
from samplernn_jax.models.interface import architecture
from samplernn_jax.models.teacher_forcing import Rows
from samplernn_jax.models.types import Carry, Params

T = TypeVar("T")

Sums = dict[str, Array]
"""Sums over the unmasked targets of all devices: total_bits, num_targets, independent_bits."""


class SegmentBits(NamedTuple):
    """The total bits of this device's unmasked targets.

    Attributes:
        total: the bits of the model's predictions.
        independent: the bits of the top tier's independent predictions; None for a model without.
    """

    total: Array
    independent: Array | None


def segment_bits(
    config: ArchitectureConfig, params: Params, carry: Carry, segment: Segment
) -> tuple[SegmentBits, Carry]:
    """Returns the bits of a segment, and the carry for the next one."""
    tokens, mask, reset, conditions = jax.tree.map(jnp.asarray, segment)
    targets = tokens[:, config.overlap :]
    predictions = architecture(config).apply(params, tokens, carry, reset, conditions)
    independent = None
    if predictions.independent is not None:
        independent = total_bits(predictions.independent, targets, mask)
    bits = SegmentBits(total_bits(predictions.logits, targets, mask), independent)
    return bits, predictions.carry


def make_eval_step(
    config: ArchitectureConfig, microbatches: int = 1
) -> Callable[[Params, Carry, Segment], tuple[Sums, Rows]]:
    """Returns the per-device evaluation step, as `teacher_forcing.run` takes it.

    The step works on no more rows at once than a training step with `microbatches` parts.
    """

    def eval_step(params: Params, carry: Carry, segment: Segment) -> tuple[Sums, Rows]:
        def of_part(part: tuple[Carry, Segment]) -> tuple[Sums, Carry]:
            carry, segment = part
            bits, carry = segment_bits(config, params, carry, segment)
            sums = {"total_bits": bits.total, "num_targets": jnp.sum(segment.mask)}
            if bits.independent is not None:
                sums["independent_bits"] = bits.independent
            return sums, carry

        num_parts = parts_of_rows(len(segment.tokens), microbatches)
        sums, carries = lax.map(of_part, split_rows((carry, segment), num_parts))
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)
        return lax.psum(sums, AXIS), Rows(join_rows(carries))

    return eval_step


def parts_of_rows(num_rows: int, at_least: int) -> int:
    """Returns the number of equal parts: the fewest that are enough, or one for each row."""
    return next(n for n in range(min(at_least, num_rows), num_rows + 1) if num_rows % n == 0)


def split_rows(rows: T, num_parts: int) -> T:
    """Returns the rows with an axis of parts in front."""
    return jax.tree.map(lambda x: jnp.asarray(x).reshape(num_parts, -1, *x.shape[1:]), rows)


def join_rows(parts: T) -> T:
    """Returns the rows of all parts."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), parts)
