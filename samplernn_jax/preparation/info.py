"""The fields that preparation writes into dataset.json, beside those that training reads."""

from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, Field, FiniteFloat, NonNegativeInt
from typing_extensions import TypedDict

from samplernn_jax.checks import require
from samplernn_jax.data.dataset import DatasetInfo

_NotNegative = Annotated[FiniteFloat, Field(ge=0)]


def _not_all_zero(counts: list[int]) -> list[int]:
    require(any(counts), "must not be all zero")
    return counts


class AudioFacts(TypedDict):
    """The audio in dataset.json; levels are relative to full scale."""

    read_s: _NotNegative
    silence_s: _NotNegative
    short_s: _NotNegative
    clipped: _NotNegative
    peak: _NotNegative
    rms: _NotNegative
    over: _NotNegative
    bands: Annotated[list[NonNegativeInt], AfterValidator(_not_all_zero)]


class Remark(TypedDict):
    """The reason why a recording was passed over, or ends early."""

    recording: str
    reason: str


class Note(TypedDict):
    """Another remark about a recording."""

    recording: str
    note: str


class SettingsInfo(TypedDict):
    """The settings that a description shows."""

    gain: str


class PreparedInfo(DatasetInfo):
    """The fields of dataset.json that describe and identify a dataset."""

    settings: SettingsInfo
    source_digest: str
    split_by: Literal["recording", "clip", "given"]
    gain: FiniteFloat | None
    audio: AudioFacts
    num_recordings: NonNegativeInt
    num_ignored: NonNegativeInt
    rejected: list[Remark]
    damaged: list[Remark]
    notes: NotRequired[list[Note]]
    warnings: list[str]
