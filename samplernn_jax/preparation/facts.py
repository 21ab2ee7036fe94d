"""recordings.jsonl: the facts about each recording that went into a dataset."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NotRequired

from pydantic import Field, FiniteFloat
from typing_extensions import TypedDict

from samplernn_jax.data.dataset import recordings_file
from samplernn_jax.parsing import parse_json
from samplernn_jax.preparation.leveling import Leveled
from samplernn_jax.preparation.splits import Clip


class _Line(TypedDict):
    """What of a line is read again."""

    name: str
    splits: list[Literal["train", "valid", "test"]]
    gain: Annotated[FiniteFloat, Field(gt=0)]
    rms: NotRequired[Annotated[FiniteFloat, Field(ge=0)]]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is told of a recording of a dataset.

    Attributes:
        name: of the recording.
        splits: where its clips are.
        gain: the factor for its amplitudes.
        rms: of its samples but outliers, before the gain; None in a dataset of an older version.
    """

    name: str
    splits: Sequence[str]
    gain: float
    rms: float | None = None


def write(folder: Path, leveled: Sequence[Leveled], dealt: dict[str, list[Clip]]) -> None:
    """Writes the facts about recordings.

    Args:
        folder: of the dataset.
        leveled: the recordings.
        dealt: the clips of each split.
    """
    where: list[set[str]] = [set() for _ in leveled]
    for split, clips in dealt.items():
        for clip in clips:
            where[clip.recording].add(split)
    with recordings_file(folder).open("w", encoding="utf-8") as stream:
        for recording, in_splits in zip(leveled, where, strict=True):
            facts = dataclasses.asdict(recording.staged)
            del facts["file"], facts["split"]
            facts |= {"gain": recording.gain, "splits": sorted(in_splits)}
            stream.write(json.dumps(facts) + "\n")


def read(folder: Path) -> list[Facts]:
    """The facts about the recordings of a dataset.

    Raises:
        ValueError: the file is missing or damaged.
    """
    file = recordings_file(folder)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: is missing or damaged; prepare the dataset again") from error
    told = [parse_json(line, _Line, f"{file}, line {n}") for n, line in enumerate(lines, start=1)]
    return [Facts(x["name"], x["splits"], x["gain"], x.get("rms")) for x in told]
