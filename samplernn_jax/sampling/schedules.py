"""Values that change while sampling, such as a rising temperature."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from samplernn_jax.checks import require, require_32_bits
from samplernn_jax.storage import read_json


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A value over time: straight lines between points, constant before and after them.

    Attributes:
        times_s: the times of the points, ascending, in seconds since the end of the prompt.
        values: the value at each time.
    """

    times_s: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        times = self.times_s
        require(
            len(times) == len(self.values) > 0,
            f"times_s={times}: must be as many as values={self.values}, at least one",
        )
        require(
            all(0 <= time < math.inf for time in times)
            and all(a < b for a, b in itertools.pairwise(times)),
            f"times_s={times}: must be ascending numbers of at least 0",
        )
        for time in times:
            require_32_bits("times_s", float(time))


Setting = float | int | Schedule | Sequence[float | int | Schedule] | np.ndarray | jax.Array
"""One setting for all sequences, or one for each."""


class Points(NamedTuple):
    """The points of schedules, one schedule for each sequence."""

    times_s: Float[np.ndarray, "batch points"] | Float[Array, "batch points"]
    values: Float[np.ndarray, "batch points"] | Float[Array, "batch points"]


def points(
    name: str, setting: Setting, num_sequences: int, rule: str, holds: Callable[[float], bool]
) -> Points:
    """Returns the points of a setting.

    Args:
        name: the user's name for the setting, for messages.
        setting: the setting as the user gave it.
        num_sequences: the number of sequences.
        rule: the rule for every value, in words.
        holds: whether a value follows the rule.

    Raises:
        ValueError: a value breaks the rule, or some sequences have none.
    """
    if isinstance(setting, np.ndarray | jax.Array):
        setting = np.asarray(setting).tolist()
    each = list(setting) if isinstance(setting, Sequence) else [setting] * num_sequences
    require(
        len(each) == num_sequences,
        f"{name}: must be one value or one for each of the {num_sequences} sequences, got "
        f"{len(each)}",
    )
    schedules = [x if isinstance(x, Schedule) else Schedule((0.0,), (float(x),)) for x in each]
    for value in itertools.chain.from_iterable(schedule.values for schedule in schedules):
        require(holds(value), f"{name}={value:g}: must be {rule}")
        require_32_bits(name, float(value))
    length = max(len(schedule.values) for schedule in schedules)
    return Points(
        np.array([_stretched(schedule.times_s, length) for schedule in schedules], np.float32),
        np.array([_stretched(schedule.values, length) for schedule in schedules], np.float32),
    )


def _stretched(values: tuple[float, ...], length: int) -> tuple[float, ...]:
    """Repeats the last value, which does not change the schedule."""
    return values + values[-1:] * (length - len(values))


_Pairs = dict[
    str,
    Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(min_length=1)],
]


def read_schedules(path: Path, names: Sequence[str]) -> dict[str, Schedule]:
    """Reads schedules from a JSON object of pairs, {"temperature": [[time_s, value], ...], ...}.

    Args:
        path: the file.
        names: the allowed keys.

    Raises:
        ValueError: the file cannot be read, or breaks this format.
    """
    try:
        entries = read_json(path, _Pairs)
        for name in entries:
            require(name in names, f"{name}: must be one of {', '.join(names)}")
        return {name: Schedule(*zip(*pairs, strict=True)) for name, pairs in entries.items()}
    except OSError as error:
        raise ValueError(f"schedule={path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(
            f'schedule={path}: must be like {{"temperature": [[0, 0.8], [10, 1.1]]}} ({error})'
        ) from error


def at(points: Points, times_s: Float[Array, "batch time"]) -> Float[Array, "batch time"]:
    """Returns the values at the given times."""
    return jax.vmap(jnp.interp)(times_s, points.times_s, points.values)
