"""A dataset in words and pictures: what went in, what did not, and what may be wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from samplernn_jax import plots
from samplernn_jax.data.dataset import SPLITS, Dataset, PcmSplit

_MAX_LISTED = 20
_BAR = 40
_DB_PER_BIT = 20 * np.log10(2)
_PICTURED_CLIPS = 3


def table(info: dict[str, Any]) -> str:
    """What dataset.json says, for people.

    Args:
        info: the content of dataset.json.
    """
    return "\n".join([*_splits(info), "", *_content(info), *_passed_over(info), *_warnings(info)])


def _splits(info: dict[str, Any]) -> Iterator[str]:
    rate = info["sample_rate_hz"]
    how = {"recording": "whole recordings", "clip": "single clips", "given": "as given"}
    yield f"{'split':8}{'recordings':>12}{'clips':>10}{'time':>12}"
    for name in SPLITS:
        split = info["splits"][name]
        seconds = split["num_samples"] / rate
        yield (
            f"{name:8}{split['num_recordings']:>12,}{split['num_clips']:>10,}{duration(seconds):>12}"
        )
    yield f"Held out: {how[info['split_by']]}."
    if info["split_by"] == "clip":
        yield (
            "So few recordings are split by clip: valid and test come from the recordings that are "
            "trained on, and flatter the model."
        )


def _content(info: dict[str, Any]) -> Iterator[str]:
    audio = info["audio"]
    gain = "one for each recording" if info["gain"] is None else f"{info['gain']:.4g} for all"
    yield f"sample rate      {info['sample_rate_hz']:,} Hz"
    yield f"gain             {gain} ({info['settings']['gain']})"
    yield f"peak, RMS        {_db(audio['peak'])}, {_db(audio['rms'])} of full scale"
    yield (
        f"clipped          {audio['clipped']:.4%} in the recordings, {audio['over']:.4%} of the "
        "samples here"
    )
    yield f"silence left out {duration(audio['silence_s'])} of {duration(audio['read_s'])}"
    yield f"short clips      {duration(audio['short_s'])} left out"
    yield (
        f"recordings       {info['num_recordings']:,} went in, {len(info['rejected']):,} were "
        f"passed over, {len(info['damaged']):,} end early; {info['num_ignored']:,} other files"
    )


def _passed_over(info: dict[str, Any]) -> Iterator[str]:
    for what, entries in (("passed over", info["rejected"]), ("ends early", info["damaged"])):
        for entry in entries[:_MAX_LISTED]:
            yield f"  {what} {entry['recording']}: {entry['reason']}"
        if len(entries) > _MAX_LISTED:
            yield f"  ... and {len(entries) - _MAX_LISTED:,} more, see dataset.json"


def _warnings(info: dict[str, Any]) -> Iterator[str]:
    for warning in info["warnings"]:
        yield f"Warning: {warning}"


def histogram(info: dict[str, Any]) -> str:
    """How many samples have which amplitude, in steps of 6 dB below full scale."""
    counts = np.array(info["audio"]["bands"])
    lines = ["amplitude   share of the samples"]
    for band in reversed(range(len(counts))):
        share = counts[band] / counts.sum()
        bar = "#" * round(_BAR * counts[band] / counts.max())
        below = len(counts) - 1 - band
        label = f"{-below * _DB_PER_BIT:4.0f} dB" if band else "  zero "
        lines.append(f"{label:8} {share:7.2%}  {bar}".rstrip())
    return "\n".join(lines)


def picture(path: Path, dataset: Dataset) -> None:
    """Draws a few clips of the training split, as waveforms and spectrograms, to a PNG file."""
    split = dataset.splits["train"]
    if not isinstance(split, PcmSplit):
        raise TypeError(f"{type(split).__name__} has no waveform to draw")
    numbers = np.linspace(0, split.num_clips - 1, min(_PICTURED_CLIPS, split.num_clips)).astype(int)
    clips = {
        f"train, clip {number}": split.read(number, 0, int(split.lengths[number])) / 2**15
        for number in numbers.tolist()
    }
    plots.clips(path, clips, dataset.sample_rate_hz)


def duration(seconds: float) -> str:
    """Such as "1:02:03" or "4.5 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _db(amplitude: float) -> str:
    return f"{20 * np.log10(max(amplitude, 1e-6)):.1f} dB"
