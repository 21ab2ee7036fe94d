"""Records of how generated files were made: in their names, and in a JSON file beside them."""

import glob
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from samplernn_jax.checks import require
from samplernn_jax.sampling.strategies import Strategy
from samplernn_jax.storage import read_json

_LONGEST_STEM = 32
"""The number of characters of a prompt's name in the names of its continuations."""


def prefix(step: int | None, settings: Strategy, prompts: Sequence[Path], seed: int) -> str:
    """Returns the beginning of the files' names.

    Args:
        step: the step of the checkpoint.
        settings: the `Points` of each setting; values that differ or change become a range.
        prompts: the files that are continued; several are given by their number.
        seed: the seed of the random numbers.
    """
    parts = [f"step_{step}"]
    for name, points in settings._asdict().items():
        if points is not None:
            low, high = float(points.values.min()), float(points.values.max())
            parts.append(f"{name}_{low:g}" + (f"-{high:g}" if high > low else ""))
    if len(set(prompts)) == 1:
        parts.append(f"after_{prompts[0].stem[:_LONGEST_STEM]}")
    elif prompts:
        parts.append(f"after_{len(set(prompts))}_prompts")
    return "_".join([*parts, f"seed_{seed}"])


class _ModelInfo(TypedDict):
    """The fields of a model that its checksum does not depend on."""

    matmul_precision: NotRequired[str]


class _Provenance(TypedDict):
    """The fields of a JSON file that are compared."""

    flags: dict[str, Any]
    model: NotRequired[_ModelInfo]
    model_sha256: str
    settings: dict[str, Any]
    prompts: dict[str, Any]


def check_replaceable(
    path: Path, provenance: dict[str, Any], names: Iterable[str], of_no_consequence: Set[str]
) -> None:
    """Lets files be replaced only by files that are made in the same way.

    Args:
        path: the JSON file that records how the files beside it were made; need not exist.
        provenance: its new content: "flags", "model_sha256", "model", "settings", "prompts".
        names: the names of the new files beside it, without their ranks.
        of_no_consequence: flags that may differ.

    Raises:
        ValueError: the existing files were made in another way, or no record says how.
    """
    if not path.exists():
        for name in names:
            for other in path.parent.glob(f"*{glob.escape(name)}"):
                raise ValueError(f"{other}: exists already; choose another output or seed")
        return
    try:
        before = read_json(path, _Provenance)
    except ValueError as error:
        raise ValueError(
            f"{path}: exists, but is not a file of this command; choose another output or seed"
        ) from error
    flags_before, flags = before["flags"], provenance["flags"]
    differing = [
        name
        for name in sorted({*flags_before, *flags} - of_no_consequence)
        if _comparable(flags_before.get(name)) != _comparable(flags.get(name))
    ] or [
        name for name in ("model_sha256", "settings", "prompts") if before[name] != provenance[name]
    ]
    if _precision(before) != _precision(provenance):
        differing.append("model.matmul_precision")
    require(
        not differing,
        f"{path}: describes files of the same names that were made with another "
        f"{' and '.join(differing)}; choose another output or seed",
    )


def _comparable(value: Any) -> Any:
    """Returns a list of texts as numbers, as the same number can be written in several ways."""
    if not isinstance(value, list):
        return value
    try:
        return [float(x) for x in value]
    except (TypeError, ValueError, OverflowError):
        return value


def _precision(provenance: Mapping[str, Any]) -> str:
    """Returns the precision of products; files of older versions, which had only one, lack it."""
    return provenance.get("model", {}).get("matmul_precision", "highest")
