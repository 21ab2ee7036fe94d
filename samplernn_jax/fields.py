"""Frozen dataclasses from nested mappings, and the rules that their values keep.

Every message is one sentence that names the field, its value and the rule.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any


def require(condition: bool, message: str) -> None:
    """Raises ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def require_positive(config: Any, *names: str) -> None:
    """The named fields are finite numbers above 0."""
    for name in names:
        value = getattr(config, name)
        require(0 < value < math.inf, f"{name}={value}: must be greater than 0, and finite")


def require_not_negative(config: Any, *names: str) -> None:
    """The named fields are finite numbers of at least 0."""
    for name in names:
        value = getattr(config, name)
        require(0 <= value < math.inf, f"{name}={value}: must be at least 0, and finite")


def require_one_of(config: Any, name: str, allowed: tuple[str, ...]) -> None:
    """The named field is one of a few words."""
    value = getattr(config, name)
    require(value in allowed, f"{name}={value!r}: must be one of {', '.join(allowed)}")


def build(cls: type, values: Mapping[str, Any], where: str) -> Any:
    """Makes a dataclass of nested dataclasses.

    A field that may be one of several dataclasses says which under the key "architecture"; each
    of them has its name in a class variable of the same name, and the first is the default.

    Args:
        cls: the dataclass.
        values: of its fields; what is missing keeps its default.
        where: what the user calls the mapping, for messages.

    Raises:
        ValueError: a field is unknown, of the wrong type, or breaks its rule.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    kwargs = {}
    for name, value in values.items():
        require(name in fields, f"{where}.{name}: no such field; there are {', '.join(fields)}")
        expected: Any = fields[name].type
        groups = typing.get_args(expected) or (expected,)
        if all(dataclasses.is_dataclass(group) for group in groups):
            require(isinstance(value, Mapping), f"{where}.{name}={value!r}: must be a group")
            kwargs[name] = _build_group(groups, value, f"{where}.{name}")
        else:
            kwargs[name] = _coerce(expected, value, f"{where}.{name}")
    return cls(**kwargs)


def _build_group(groups: tuple[type, ...], values: Mapping[str, Any], where: str) -> Any:
    if len(groups) == 1:
        return build(groups[0], values, where)
    by_name: dict[Any, type] = {group.architecture: group for group in groups}  # type: ignore[attr-defined]
    chosen = values.get("architecture", next(iter(by_name)))
    require(
        isinstance(chosen, str) and chosen in by_name,
        f"{where}.architecture={chosen!r}: must be one of {', '.join(by_name)}",
    )
    rest = {name: value for name, value in values.items() if name != "architecture"}
    return build(by_name[chosen], rest, where)


def _coerce(expected: Any, value: Any, where: str) -> Any:
    """The value as the field's type; an int may stand for a float, a list for a tuple."""
    if expected == tuple[int, ...] and isinstance(value, list | tuple):
        require(all(_is_int(v) for v in value), f"{where}={value!r}: must be whole numbers")
        return tuple(value)
    if expected is int:
        require(_is_int(value), f"{where}={value!r}: must be a whole number")
    elif expected is float:
        require(_is_int(value) or isinstance(value, float), f"{where}={value!r}: must be a number")
        value = float(value)
    else:
        name = "a list of whole numbers" if expected == tuple[int, ...] else expected.__name__
        kind = tuple if expected == tuple[int, ...] else expected
        require(isinstance(value, kind), f"{where}={value!r}: must be {name}")
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
