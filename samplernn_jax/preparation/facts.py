"""The facts about each recording: recordings.jsonl, and the remarks in dataset.json."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, FiniteFloat
from typing_extensions import TypedDict

from samplernn_jax.data.dataset import recordings_file
from samplernn_jax.parsing import parse_json
from samplernn_jax.preparation.clips import Clip
from samplernn_jax.preparation.leveling import Leveled
from samplernn_jax.preparation.recordings import Rejected


class _Line(TypedDict):
    """The fields of a line that are read back."""

    name: str
    splits: list[Literal["train", "valid", "test"]]
    gain: Annotated[FiniteFloat, Field(gt=0)]
    rms: NotRequired[Annotated[FiniteFloat, Field(ge=0)]]


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts about a recording of a dataset.

    Attributes:
        name: the name of the recording.
        splits: the splits that its clips are in.
        gain: the factor for its amplitudes.
        rms: the RMS of its samples without outliers, before the gain; None in older datasets.
    """

    name: str
    splits: Sequence[str]
    gain: float
    rms: float | None = None


def remarks(
    recordings: Sequence[Leveled], rejected: Sequence[Rejected]
) -> dict[str, list[dict[str, str]]]:
    """Returns the remarks in dataset.json on recordings passed over, damaged or with notes.

    Args:
        recordings: the recordings in the dataset.
        rejected: the recordings that are passed over.
    """
    staged = [recording.staged for recording in recordings]
    return {
        "rejected": [{"recording": name, "reason": reason} for name, reason in rejected],
        "damaged": [{"recording": r.name, "reason": r.damage} for r in staged if r.damage],
        "notes": [{"recording": r.name, "note": note} for r in staged for note in r.notes],
    }


def write(folder: Path, recordings: Sequence[Leveled], clips: Mapping[str, Sequence[Clip]]) -> None:
    """Writes recordings.jsonl.

    Args:
        folder: the folder of the dataset.
        recordings: the recordings in the dataset.
        clips: the clips of each split.
    """
    splits: list[set[str]] = [set() for _ in recordings]
    for split, of_split in clips.items():
        for clip in of_split:
            splits[clip.recording].add(split)
    with recordings_file(folder).open("w", encoding="utf-8") as output:
        for recording, in_splits in zip(recordings, splits, strict=True):
            facts = dataclasses.asdict(recording.staged)
            del facts["file"], facts["split"]
            facts |= {"gain": recording.gain, "splits": sorted(in_splits)}
            output.write(json.dumps(facts) + "\n")


def read(folder: Path) -> list[Facts]:
    """Returns the content of recordings.jsonl.

    Raises:
        ValueError: the file is missing or damaged.
    """
    file = recordings_file(folder)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: is missing or damaged; prepare the dataset again") from error
    parsed: list[Any] = [
        parse_json(line, _Line, f"{file}, line {n}") for n, line in enumerate(lines, start=1)
    ]
    return [Facts(x["name"], x["splits"], x["gain"], x.get("rms")) for x in parsed]
