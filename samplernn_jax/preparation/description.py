"""Descriptions of a dataset in words and pictures: its recordings, audio and problems."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samplernn_jax import plots
from samplernn_jax.audio import from_pcm16
from samplernn_jax.data.dataset import SPLITS, Dataset, PcmSplit
from samplernn_jax.preparation.facts import Facts
from samplernn_jax.units import DB_PER_BIT, clock_time, decibels

_MAX_LISTED = 20
_MAX_NAMED = 20
_MAX_LEVELS = 200
_OUTSTANDING_DB = 6.0
_BAR = 40
_PICTURED_CLIPS = 3


def table(info: dict[str, Any], recordings: Sequence[Facts]) -> str:
    """Returns a summary of a dataset.

    Args:
        info: the content of dataset.json.
        recordings: the content of recordings.jsonl.
    """
    lines = (
        *_splits(info, recordings),
        "",
        *_content(info, recordings),
        *_remarks(info),
        *_warnings(info),
    )
    return "\n".join(lines)


def _splits(info: dict[str, Any], recordings: Sequence[Facts]) -> Iterator[str]:
    rate = info["sample_rate_hz"]
    how = {"recording": "whole recordings", "clip": "single clips", "given": "as given"}
    yield f"{'split':8}{'recordings':>12}{'clips':>10}{'time':>12}"
    for name in SPLITS:
        split = info["splits"][name]
        seconds = split["num_samples"] / rate
        yield (
            f"{name:8}{split['num_recordings']:>12,}{split['num_clips']:>10,}{clock_time(seconds):>12}"
        )
    yield f"Held out: {how[info['split_by']]}."
    for split in SPLITS[1:]:
        names = [recording.name for recording in recordings if split in recording.splits]
        more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
        yield f"  {split}: {', '.join(names[:_MAX_NAMED])}{more}"
    if info["split_by"] == "clip":
        yield (
            "There are too few recordings to hold out whole ones: valid and test come from the "
            "training recordings, so they flatter the model."
        )


def _content(info: dict[str, Any], recordings: Sequence[Facts]) -> Iterator[str]:
    audio = info["audio"]
    gain = "one for each recording"
    if info["gain"] is not None:
        louder = sum(recording.gain < info["gain"] for recording in recordings)
        gain = f"{info['gain']:.4g} for all" + (f" but {louder:,} louder ones" if louder else "")
    yield f"sample rate      {info['sample_rate_hz']:,} Hz"
    yield f"gain             {gain} ({info['settings']['gain']})"
    yield f"peak, RMS        {_shown(audio['peak'])}, {_shown(audio['rms'])} of full scale"
    yield (
        f"clipped          {audio['clipped']:.4%} in the recordings, {audio['over']:.4%} of the "
        "samples here"
    )
    yield f"silence left out {clock_time(audio['silence_s'])} of {clock_time(audio['read_s'])}"
    yield f"short clips      {audio['short_s']:.1f} s left out"
    yield (
        f"recordings       {info['num_recordings']:,} went in, {len(info['rejected']):,} were "
        f"passed over, {len(info['damaged']):,} end early; {info['num_ignored']:,} other files"
    )


def _remarks(info: dict[str, Any]) -> Iterator[str]:
    for what, key, entries in (
        ("passed over", "reason", info["rejected"]),
        ("ends early", "reason", info["damaged"]),
        ("note on", "note", info.get("notes", [])),
    ):
        for entry in entries[:_MAX_LISTED]:
            yield f"  {what} {entry['recording']}: {entry[key]}"
        if len(entries) > _MAX_LISTED:
            yield f"  ... and {len(entries) - _MAX_LISTED:,} more, see dataset.json"


def _warnings(info: dict[str, Any]) -> Iterator[str]:
    for warning in info["warnings"]:
        yield f"Warning: {warning}"


def histogram(info: dict[str, Any]) -> str:
    """Returns the share of samples by amplitude, in steps of 6 dB below full scale."""
    counts = np.array(info["audio"]["bands"])
    lines = ["amplitude   share of the samples"]
    for band in reversed(range(len(counts))):
        share = counts[band] / counts.sum()
        bar = "#" * round(_BAR * counts[band] / counts.max())
        below = len(counts) - 1 - band
        label = f"{-below * DB_PER_BIT:4.0f} dB" if band else "  zero "
        lines.append(f"{label:8} {share:7.2%}  {bar}".rstrip())
    return "\n".join(lines)


def loudness(info: dict[str, Any], recordings: Sequence[Facts]) -> str:
    """Returns the level of each recording after the gain, with marks where one stands out.

    A recording stands out if it was turned down separately, or if it differs from the median of all
    by 6 dB or more, and by three times the usual difference (the median one, scaled to a standard
    deviation). If there are more than 200 recordings, only these are listed.

    Args:
        info: the content of dataset.json.
        recordings: the content of recordings.jsonl.
    """
    known = [recording for recording in recordings if recording.rms is not None]
    if not known:
        return "loudness         is unknown, as an older version prepared the dataset"
    levels = np.array([decibels(r.gain * (r.rms or 0.0)) for r in known])
    median = np.median(levels)
    usual = max(_OUTSTANDING_DB, 3 * 1.4826 * float(np.median(np.abs(levels - median))))
    lines = [
        f"loudness         {median:.1f} dB of full scale (RMS) is the median of the recordings, "
        f"{levels.min():.1f} the lowest, {levels.max():.1f} the highest"
    ]
    marks = [""] * len(known)
    for number, recording in enumerate(known):
        if info["gain"] is not None and recording.gain < info["gain"]:
            lowered_db = decibels(info["gain"] / recording.gain)
            marks[number] = f"  stands out, turned down by {lowered_db:.1f} dB"
        elif abs(levels[number] - median) >= usual:
            marks[number] = f"  stands out by {levels[number] - median:+.1f} dB"
    listed = [n for n in range(len(known)) if marks[n] or len(known) <= _MAX_LEVELS]
    for number in listed[:_MAX_LEVELS]:
        lines.append(f"  {levels[number]:6.1f} dB  {known[number].name}{marks[number]}")
    if len(listed) > _MAX_LEVELS:
        lines.append(f"  ... and {len(listed) - _MAX_LEVELS:,} more that stand out")
    return "\n".join(lines)


def picture(path: Path, dataset: Dataset) -> None:
    """Draws waveforms and spectrograms of a few training clips to a PNG file."""
    split = dataset.splits["train"]
    if not isinstance(split, PcmSplit):
        raise TypeError(f"{type(split).__name__} has no waveform to draw")
    numbers = np.linspace(0, split.num_clips - 1, min(_PICTURED_CLIPS, split.num_clips)).astype(int)
    clips = {
        f"train, clip {number}": from_pcm16(split.read(number, 0, int(split.lengths[number])))
        for number in numbers.tolist()
    }
    plots.clips(path, clips, dataset.sample_rate_hz)


def _shown(amplitude: float) -> str:
    return f"{round(decibels(amplitude), 1) + 0.0:.1f} dB"  # no minus sign before 0
