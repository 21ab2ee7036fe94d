"""Rules on values.

Every message is one sentence that names the field, its value and the rule. A rule on a value is
always a `require`. `raise` is for three other places: where a caught exception is told in other
words, where the error has its own class, and at the end of a branch that cannot go on, such as a
search without a result or an optional value that is None.
"""

import math
from typing import Any

import numpy as np


def require(condition: bool, message: str) -> None:
    """Raises ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def require_positive(config: Any, *names: str) -> None:
    """The named fields are finite numbers above 0 that fit into 32 bits."""
    for name in names:
        value = getattr(config, name)
        require(0 < value < math.inf, f"{name}={value}: must be greater than 0, and finite")
        require_32_bits(name, value)


def require_not_negative(config: Any, *names: str) -> None:
    """The named fields are finite numbers of at least 0 that fit into 32 bits."""
    for name in names:
        value = getattr(config, name)
        require(0 <= value < math.inf, f"{name}={value}: must be at least 0, and finite")
        require_32_bits(name, value)


def require_32_bits(name: str, value: float | int) -> None:
    """A number of at least 0 fits into 32 bits: int32 for whole numbers, float32 for others."""
    highest = 2**31 - 1 if isinstance(value, int) else float(np.finfo(np.float32).max)
    require(value <= highest, f"{name}={value}: must be at most {highest:.10g}")


def require_one_of(config: Any, name: str, allowed: tuple[str, ...]) -> None:
    """The named field is one of the allowed words."""
    value = getattr(config, name)
    require(value in allowed, f"{name}={value!r}: must be one of {', '.join(allowed)}")
