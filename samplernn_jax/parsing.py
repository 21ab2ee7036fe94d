"""Outside data, read with checked types: mappings into dataclasses, JSON and arrays.

A file that a person may have edited, truncated or damaged is read through a type that describes
its fields. Every message is one sentence that names the field, its value and the rule.
"""

import dataclasses
import functools
import json
import math
import reprlib
import typing
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, Required

import numpy as np
import typing_extensions
from pydantic import TypeAdapter, ValidationError
from pydantic_core import core_schema

from samplernn_jax.checks import require

_RULES = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a group",
}
"""Our wording of pydantic's rules, by its names of the mistakes; its other messages read well."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def typed(
    kind: Any,
    value: Any,
    where: str,
    *,
    separator: str = ".",
    extra: Literal["allow", "forbid"] = "allow",
) -> Any:
    """Returns the value if it has the type.

    An int is accepted as a float. Nothing else is converted, and a bool is not a number.

    Args:
        kind: the type; a TypedDict for a group of fields.
        value: the value, of Python's own types.
        where: the user's name for the value, for messages.
        separator: between `where` and the name of a field.
        extra: whether a group may have unknown fields, which are kept.

    Raises:
        ValueError: a field breaks its rule; the first one is named.
    """
    try:
        return _adapter(kind).validate_python(value, strict=True, extra=extra)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
    path = "".join(f"[{x}]" if isinstance(x, int) else f".{x}" for x in mistake["loc"])
    field = where + (separator + path.removeprefix(".") if path else "")
    if mistake["type"] == "missing":
        raise ValueError(f"{field}: is missing")
    if mistake["type"] == "extra_forbidden":
        known = ", ".join(typing.get_type_hints(kind))
        raise ValueError(f"{field}: no such field; there are {known}")
    raise ValueError(f"{field}={_shown(mistake['input'])}: {_rule(mistake)}")


def _shown(value: Any) -> str:
    """Returns a value as it is shown in a message."""
    if isinstance(value, np.ndarray) and value.dtype.kind != "U":
        return f"{value.dtype} {list(value.shape)}"
    return _short.repr(str(value) if isinstance(value, np.ndarray) else value)


def _rule(mistake: Mapping[str, Any]) -> str:
    """Returns the rule that a value breaks, from pydantic's description of the mistake."""
    kind, limits = mistake["type"], mistake.get("ctx", {})
    if kind == "too_short":
        least = limits["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} items"
    if kind == "too_long":
        return f"must have at most {limits['max_length']} items"
    said = mistake["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return _RULES.get(kind, said)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def build(cls: type, values: Mapping[str, Any], where: str) -> Any:
    """Returns a dataclass of nested dataclasses with the given values.

    Where a field may be one of several dataclasses, the key "architecture" names one of them. Each
    has its name in a class variable `architecture`, and the first one is the default.

    Args:
        cls: the dataclass.
        values: the values of its fields; lists are accepted as tuples, and missing fields keep
            their defaults.
        where: the user's name for the mapping, for messages.

    Raises:
        ValueError: a field is unknown, missing, of the wrong type, or breaks its rule.
    """
    given = {name: tuple(x) if isinstance(x, list) else x for name, x in values.items()}
    for field in dataclasses.fields(cls):
        groups: Any = typing.get_args(field.type) or (field.type,)
        if field.name in given and all(map(dataclasses.is_dataclass, groups)):
            name = f"{where}.{field.name}"
            given[field.name] = _build_group(groups, given[field.name], name)
    return cls(**typed(_fields(cls), given, where, extra="forbid"))


def _build_group(groups: tuple[type, ...], values: Any, where: str) -> Any:
    require(isinstance(values, Mapping), f"{where}={_short.repr(values)}: must be a group")
    if len(groups) == 1:
        return build(groups[0], values, where)
    by_name: dict[Any, type] = {group.architecture: group for group in groups}  # type: ignore[attr-defined]
    chosen = values.get("architecture", next(iter(by_name)))
    require(
        isinstance(chosen, str) and chosen in by_name,
        f"{where}.architecture={_short.repr(chosen)}: must be one of {', '.join(by_name)}",
    )
    rest = {name: value for name, value in values.items() if name != "architecture"}
    return build(by_name[chosen], rest, where)


@functools.cache
def _fields(cls: type) -> Any:
    """Returns the fields of a dataclass as a TypedDict."""
    make: Any = typing_extensions.TypedDict
    return make(
        cls.__name__,
        {
            field.name: Required[field.type] if _is_required(field) else NotRequired[field.type]
            for field in dataclasses.fields(cls)
        },
    )


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def parse_json(text: str | bytes, kind: Any, where: str) -> Any:
    """Returns the value of JSON text.

    Args:
        text: the JSON.
        kind: the type that the value must have, see `typed`.
        where: the user's name for the text, for messages.

    Raises:
        ValueError: the text is damaged, or a field breaks its rule.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{where}: cannot be read as JSON (is nested too deeply)") from error
    except ValueError as error:
        raise ValueError(f"{where}: cannot be read as JSON ({error})") from error
    return typed(kind, value, where, separator=": ")


@dataclasses.dataclass(frozen=True)
class ArrayOf:
    """A type of arrays of finite numbers, for `typed`.

    Attributes:
        dtype: the type of the array.
        shape: the sizes of its axes; None for any size.
        low: the lowest allowed number.
        high: the highest allowed number.
    """

    dtype: Any
    shape: tuple[int | None, ...] = ()
    low: float | int = -math.inf
    high: float | int = math.inf

    def __get_pydantic_core_schema__(self, *_: Any) -> core_schema.CoreSchema:
        """Lets pydantic use an instance as a type."""
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, array: np.ndarray) -> np.ndarray:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        require(
            array.dtype == self.dtype
            and array.ndim == len(self.shape)
            and all(x in (None, y) for x, y in zip(self.shape, array.shape, strict=True)),
            f"must be {np.dtype(self.dtype)} [{sizes}]",
        )
        require(
            bool(np.isfinite(array).all() and ((self.low <= array) & (array <= self.high)).all()),
            f"must be finite numbers from {self.low:g} to {self.high:g}",
        )
        return array


def text_array(array: np.ndarray) -> str:
    """Returns the text in an array of one text; a validator for `typed`."""
    require(array.shape == () and array.dtype.kind == "U", "must be text")
    return str(array)
