"""The record of a run's validations, a separate file in the workdir.

It holds all validated steps, including those whose checkpoints were removed, so that decisions
based on the best step do not depend on the checkpoints on the disk. The first process writes the
record, reads it, and sends it to the others.
"""

import json
import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, FiniteFloat

from samplernn_jax.processes import text_from_first_process
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.storage import read_json, write_json

_Step = Annotated[str, Field(pattern=r"^[0-9]{1,15}$")]
_Recorded = dict[_Step, FiniteFloat]

Validations = dict[int, float]
"""Bits per sample in validation, by step."""


def read(workdir: Workdir, inside_checkpoints: Mapping[int, float]) -> Validations:
    """Returns the record, the same in every process.

    Args:
        workdir: the workdir of the run.
        inside_checkpoints: the validations inside checkpoints, by step, from before there was a
            record; infinite where there was no validation.

    Raises:
        ValueError: the record cannot be used.
    """
    inside = {step: bits for step, bits in inside_checkpoints.items() if math.isfinite(bits)}
    recorded = {**inside, **_read_file(workdir)}
    agreed = json.loads(text_from_first_process(json.dumps(recorded)))
    return {int(step): bits for step, bits in agreed.items()}


def _read_file(workdir: Workdir) -> Validations:
    try:
        content = read_json(workdir.validations_file, _Recorded)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(
            f"{error}; remove this file, and the latest checkpoint is validated again"
        ) from error
    return {int(step): bits for step, bits in content.items()}


def write(workdir: Workdir, recorded: Validations) -> None:
    """Replaces the record."""
    write_json(workdir.validations_file, dict(sorted(recorded.items())))


def in_order(recorded: Validations) -> list[int]:
    """Returns the steps, the best first, the earliest first among equal ones."""
    return sorted(recorded, key=lambda step: (recorded[step], step))


def best(recorded: Validations) -> tuple[float, int] | None:
    """Returns the bits and step of the best, the earliest of equal ones; None if there is none."""
    return min(((bits, step) for step, bits in recorded.items()), default=None)
