"""The inputs and outputs of every architecture."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float

Params = dict[str, Any]
"""A model's parameters, as in training."""

Carry = dict[str, Array]
"""The states passed from a segment to the next, [batch, ...] by name; {} without states."""

Conditions = Any
"""The conditioning of each row: a pytree of arrays [batch, ...]; () for none.

No model reads any yet.
"""

Memory = Any
"""The state passed from a frame to the next while tokens are decoded; the batch comes last."""

Choose = Callable[[Array, Any], tuple[Array, Any]]
"""(logits [batch, q_levels], inputs of the sample) -> (tokens [batch], anything to keep)."""


class Predictions(NamedTuple):
    """A model's output for a segment.

    Attributes:
        logits: the logits of each target.
        carry: the carry for the next segment.
        independent: the logits of each target, independent of the other targets of its frame;
            None for a model without `independent_preds`.
    """

    logits: Float[Array, "batch targets q_levels"]
    carry: Carry
    independent: Float[Array, "batch targets q_levels"] | None = None


class FrameInputs(NamedTuple):
    """The inputs for decoding one frame of the top tier, beside the memory.

    Attributes:
        window: int32 [top_frame_size, batch], the latest tokens.
        number: the number of the frame in its block.
        conditions: the conditioning of each row.
        inputs: the inputs of `Choose` for each sample, a pytree of [top_frame_size, batch].
    """

    window: Array
    number: Array
    conditions: Conditions
    inputs: Any
