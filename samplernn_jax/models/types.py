"""What every architecture takes and gives."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float

Params = dict[str, Any]
"""A model's parameters, as in training."""

Carry = dict[str, Array]
"""The states that go from a segment to the next, [batch, ...] by name; {} without states."""

Conditions = Any
"""What each row is conditioned on: a pytree of arrays [batch, ...]. () for nothing.

No model reads any yet.
"""

Memory = Any
"""What goes from a frame to the next while tokens are decoded; the batch is the last axis."""

Choose = Callable[[Array, Any], tuple[Array, Any]]
"""(logits [batch, q_levels], inputs of the sample) -> (tokens [batch], anything to keep)."""


class Predictions(NamedTuple):
    """What a model gives for a segment.

    Attributes:
        logits: of each target.
        carry: for the next segment.
        independent: logits of each target that do not depend on the other targets of its frame;
            None for a model without `independent_preds`.
    """

    logits: Float[Array, "batch targets q_levels"]
    carry: Carry
    independent: Float[Array, "batch targets q_levels"] | None = None


class FrameInputs(NamedTuple):
    """What the decoding of one frame of the top tier is given beside the memory.

    Attributes:
        window: int32 [top_frame_size, batch], the latest tokens.
        number: of the frame in its block.
        conditions: what each row is conditioned on.
        inputs: of each sample, for `Choose`: a pytree of [top_frame_size, batch].
    """

    window: Array
    number: Array
    conditions: Conditions
    inputs: Any
