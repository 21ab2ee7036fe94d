"""Rules for values.

Every message is one sentence that names the field, its value and the rule. A rule for a value is
always a `require`. `raise` is for three other cases: to word a caught exception differently, to
raise an error class of its own, and at the end of a branch that cannot go on, such as a search
without a result or an optional value that is None.
"""

import math
from typing import Any

import numpy as np


def require(condition: bool, message: str) -> None:
    """Raises ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def require_positive(config: Any, *names: str) -> None:
    """Raises ValueError unless the named fields are finite, above 0 and fit into 32 bits."""
    for name in names:
        value = getattr(config, name)
        require(0 < value < math.inf, f"{name}={value}: must be greater than 0, and finite")
        require_32_bits(name, value)


def require_not_negative(config: Any, *names: str) -> None:
    """Raises ValueError unless the named fields are finite, at least 0 and fit into 32 bits."""
    for name in names:
        value = getattr(config, name)
        require(0 <= value < math.inf, f"{name}={value}: must be at least 0, and finite")
        require_32_bits(name, value)


def require_32_bits(name: str, value: float | int) -> None:
    """Raises ValueError unless a number fits into int32, or float32 if it is not whole."""
    highest = 2**31 - 1 if isinstance(value, int) else float(np.finfo(np.float32).max)
    require(value <= highest, f"{name}={value}: must be at most {highest:.10g}")


def require_one_of(config: Any, name: str, allowed: tuple[str, ...]) -> None:
    """Raises ValueError unless the named field is one of the allowed words."""
    value = getattr(config, name)
    require(value in allowed, f"{name}={value!r}: must be one of {', '.join(allowed)}")
