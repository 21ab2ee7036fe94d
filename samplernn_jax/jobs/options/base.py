"""Options dataclasses: each field is a flag of a command, with its rules and its help."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from samplernn_jax.checks import require
from samplernn_jax.parsing import typed
from samplernn_jax.storage import check_local

REQUIRED = dataclasses.MISSING
"""Marks a field without a default, which must be given."""


class Rules(NamedTuple):
    """The rules and the help of a field of an options dataclass.

    Attributes:
        help: the description for --help.
        choices: the allowed values; None for any.
        least: the lowest allowed value; None for no limit.
        most: the highest allowed value; None for no limit.
        is_path: the field names files or folders on this machine.
    """

    help: str
    choices: tuple[str, ...] | None = None
    least: float | int | None = None
    most: float | int | None = None
    is_path: bool = False


def option(
    help: str,
    *,
    default: Any = REQUIRED,
    choices: Sequence[str] | None = None,
    least: float | int | None = None,
    most: float | int | None = None,
    is_path: bool = False,
) -> Any:
    """Returns a field of an options dataclass, see `Rules`; without a default it is required."""
    rules = Rules(help, None if choices is None else tuple(choices), least, most, is_path)
    return dataclasses.field(default=default, metadata={"rules": rules})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a job.

    Attributes:
        given: the fields that were set on purpose, even to their defaults. Fields that differ from
            their defaults always count as given.

    Raises:
        ValueError: a field breaks its rule.
    """

    given: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        types = typing.get_type_hints(type(self))
        for field in fields(type(self)):
            value = typed(types[field.name], getattr(self, field.name), field.name)
            if value is not None:
                _check(field.name, value, field.metadata["rules"])
            object.__setattr__(self, field.name, value)

    @classmethod
    def from_flags(cls, values: Mapping[str, Any]) -> Any:
        """Returns the options, of this class, that `as_flags` turned into JSON.

        Raises:
            ValueError: there is no such field, or a value breaks its rule.
        """
        types = typing.get_type_hints(cls)
        read: dict[str, Any] = {}
        for name, value in values.items():
            require(name in types, f"{name}={value}: there is no such option")
            read[name] = tuple(value) if isinstance(value, list) else value
            if isinstance(value, list) and is_numbers(types[name]):
                read[name] = as_numbers(name, value)
        return cls(**read)

    def is_given(self, name: str) -> bool:
        """Returns whether a field was set on purpose."""
        field = self.__dataclass_fields__[name]
        return name in self.given or getattr(self, name) != field.default

    def refuse_unless(self, condition: bool, why: str, *names: str) -> None:
        """Raises ValueError where one of the named fields is given, unless the condition holds."""
        for name in names:
            value = as_text(getattr(self, name))
            require(condition or not self.is_given(name), f"{name}={value}: {why}")

    def as_flags(self) -> dict[str, Any]:
        """Returns the fields with a value, for JSON; numbers in lists are text, as in flags."""
        values = {field.name: getattr(self, field.name) for field in fields(type(self))}
        return {
            name: [as_text(x) for x in value] if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }


def fields(kind: type[Options]) -> list[dataclasses.Field]:
    """Returns the fields that are flags."""
    return [field for field in dataclasses.fields(kind) if "rules" in field.metadata]


def is_numbers(kind: Any) -> bool:
    """Whether a field's type is a tuple of numbers, or that or None."""
    return tuple[float, ...] in (kind, *typing.get_args(kind))


def as_numbers(name: str, texts: Sequence[str]) -> tuple[float, ...]:
    """Returns the numbers that stand in a flag.

    Raises:
        ValueError: a text is not a number.
    """
    try:
        return tuple(float(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"{name}={','.join(texts)}: must be numbers") from error


def as_text(value: Any) -> str:
    """Returns a value as it is written on a command line."""
    if isinstance(value, tuple):
        return ",".join(map(as_text, value))
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _check(name: str, value: Any, rules: Rules) -> None:
    """Raises ValueError where a value breaks the rules of its field."""
    if rules.choices is not None:
        require(
            value in rules.choices, f"{name}={value}: must be one of {', '.join(rules.choices)}"
        )
    if rules.least is not None:
        require(value >= rules.least, f"{name}={value}: must be at least {rules.least}")
    if rules.most is not None:
        require(value <= rules.most, f"{name}={value}: must be at most {rules.most}")
    if rules.is_path:
        for path in value if isinstance(value, tuple) else [value]:
            require(path != "", f"{name}='': must not be empty")
            check_local(name, path)
