"""Staging: every recording is decoded, mixed down, resampled, measured and written as float32.

The gain of a dataset is known only after all recordings have been measured. So they are first
written to a staging folder, where an interrupted preparation finds them when it goes on.
"""

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import FiniteFloat

from samplernn_jax import audio
from samplernn_jax.audio import Waveform
from samplernn_jax.checks import require
from samplernn_jax.parsing import build
from samplernn_jax.preparation.meter import Meter
from samplernn_jax.preparation.recordings import Recording, Rejected
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.storage import read_json, replace_file, write_json

_Fact = str | int | FiniteFloat

OnProgress = Callable[[str, int, int], None]
"""Called as on_progress(what, done, total) whenever a part of the work is done."""


@dataclasses.dataclass(frozen=True)
class Staged:
    """A recording in the staging folder, as float32 at the dataset's rate.

    Attributes:
        name: the name of the recording.
        split: the split, "train", "valid" or "test", if given.
        file: the file of the samples.
        num_samples: the number of samples at the dataset's rate.
        mean: the mean of the samples without outliers, see `meter.inliers`.
        rms: the RMS of these samples about their mean.
        low: the lowest of these samples.
        high: the highest of these samples.
        minimum: the minimum of all samples.
        maximum: the maximum of all samples.
        peak_s: the position of the sample furthest from the mean, to 20 ms.
        bandwidth_hz: the highest frequency with any power.
        spectrum: the share of the power in each frequency band, in dB.
        clipped: the fraction of values that were clipped when the recording was made.
        channel: the channel that is used, from 1; 0 for the mix of all.
        lost_db: the level that the mix loses, see `audio.Balance`.
        source_rate_hz: the sample rate of the recording.
        source_channels: the number of channels of the recording.
        damage: the reason why the recording ends early; empty if it does not.
        notes: other remarks from reading it, a sentence each.
        digest: the digest of the samples; equal for copies.
    """

    name: str
    split: str | None
    file: Path
    num_samples: int
    mean: float
    rms: float
    low: float
    high: float
    minimum: float
    maximum: float
    peak_s: float
    bandwidth_hz: float
    spectrum: Sequence[float]
    clipped: float
    channel: int
    lost_db: float
    source_rate_hz: int
    source_channels: int
    damage: str
    notes: Sequence[str]
    digest: str

    def read(self, start: int, stop: int) -> Waveform:
        """Returns samples [start, stop)."""
        return np.fromfile(self.file, "<f4", stop - start, offset=start * 4)


class _Stopped(Exception):
    """Raised in a thread when another recording failed, or the user interrupted."""


def stage(
    recordings: Sequence[Recording],
    folder: Path,
    settings: BuildSettings,
    workers: int,
    on_progress: OnProgress,
) -> tuple[list[Staged], list[Rejected]]:
    """Decodes recordings in parallel threads, as the decoders release Python's lock.

    Args:
        recordings: the recordings to decode.
        folder: the staging folder; recordings that are complete there are kept.
        settings: the settings of the dataset.
        workers: the number of recordings decoded at once.
        on_progress: called after each recording.

    Returns:
        The recordings in order, and those that cannot be decoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staged: dict[int, Staged] = {}
    rejected: dict[int, Rejected] = {}
    stopped = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        numbers = {
            pool.submit(_stage_once, recording, folder, settings, stopped): number
            for number, recording in enumerate(recordings)
        }
        try:
            for done, future in enumerate(as_completed(numbers), start=1):
                number = numbers[future]
                try:
                    staged[number] = future.result()
                except ValueError as error:
                    rejected[number] = Rejected(recordings[number].name, str(error))
                on_progress("decoding", done, len(recordings))
        except BaseException:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [staged[n] for n in sorted(staged)], [rejected[n] for n in sorted(rejected)]


def _stage_once(
    recording: Recording, folder: Path, settings: BuildSettings, stopped: threading.Event
) -> Staged:
    """Decodes a recording, unless an earlier preparation did."""
    what = (
        f"{recording.name}\n{recording.fingerprint}\n{settings.sample_rate_hz}\n{settings.channel}"
    )
    file = folder / f"{hashlib.sha256(what.encode(errors='surrogateescape')).hexdigest()}.f32"
    facts = file.with_suffix(".json")
    identity: dict[str, Any] = {"name": recording.name, "split": recording.split, "file": file}
    staged = _staged_before(facts, identity) if recording.fingerprint else None
    if staged is None:
        known = _decode(recording, file, settings, stopped)
        write_json(facts, known)
        staged = Staged(**identity, **known)
    return staged


def _staged_before(facts: Path, identity: dict[str, Any]) -> Staged | None:
    """Returns the recording from an earlier preparation, if it is complete."""
    try:
        known = read_json(facts, dict[str, _Fact | list[_Fact]])
        staged: Staged = build(Staged, {**known, **identity}, str(facts))
        return staged if staged.file.stat().st_size == 4 * staged.num_samples else None
    except (OSError, ValueError):
        return None


def _decode(
    recording: Recording, file: Path, settings: BuildSettings, stopped: threading.Event
) -> dict[str, Any]:
    """Writes the samples to a file, and returns the facts.

    Where the channels cancel each other, it is decoded again, and only the loudest one is used.
    """
    meter, facts = _decode_channel(recording, file, settings, stopped, settings.channel)
    balance = meter.balance
    if settings.channel == 0 and balance.cancels:
        _, facts = _decode_channel(recording, file, settings, stopped, balance.loudest)
    return {**facts, "lost_db": balance.lost_db if settings.channel == 0 else 0.0}


def _decode_channel(
    recording: Recording,
    file: Path,
    settings: BuildSettings,
    stopped: threading.Event,
    channel: int,
) -> tuple[Meter, dict[str, Any]]:
    meter, damage = Meter(settings.sample_rate_hz), ""
    with recording.open() as opened, replace_file(file) as partial, partial.open("wb") as output:
        source = opened._replace(blocks=meter.watch(opened.blocks))
        try:
            for block in audio.resampled(source, settings.sample_rate_hz, channel):
                if stopped.is_set():
                    raise _Stopped
                meter.add(block)
                output.write(block.astype("<f4").tobytes())
        except audio.DamagedError as error:
            damage = str(error)
        require(meter.num_samples > 0, damage or "holds no audio")
    return meter, {
        **meter.facts(),
        "channel": channel,
        "source_rate_hz": opened.sample_rate_hz,
        "source_channels": opened.num_channels,
        "damage": damage,
        "notes": list(opened.notes),
    }
