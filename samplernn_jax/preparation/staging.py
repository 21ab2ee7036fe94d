"""The first half of a preparation: every recording decoded, mixed down, resampled and measured.

The gain is one number for the whole dataset and known only when all have been heard, so each
recording is first written as float32 to a staging folder. What is whole there is not decoded
again when an interrupted preparation is run once more.
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
from samplernn_jax.parsing import build
from samplernn_jax.preparation.meter import Meter
from samplernn_jax.preparation.recordings import Recording
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.storage import read_json, replace_file, write_json

_Fact = str | int | FiniteFloat

Progress = Callable[[str, int, int], None]
"""Called as progress(what, done, total) whenever a part of the work is done."""


@dataclasses.dataclass(frozen=True)
class Staged:
    """A recording in the staging folder, as float32 at the dataset's rate.

    Attributes:
        name: of the recording.
        split: "train", "valid" or "test" where that is given.
        file: where the samples are.
        num_samples: how many.
        mean: of the samples but outliers, see `meter.ordinary`.
        rms: their root mean square about the mean.
        low: the least of them.
        high: the largest of them.
        minimum: of all samples.
        maximum: of all samples.
        peak_s: where in the recording the sample that is furthest from the mean is, to 20 ms.
        bandwidth_hz: above this there is nothing.
        spectrum: the share of each frequency band in dB.
        clipped: fraction of the values of the recording that were clipped when it was made.
        channel: the channel that was taken, from 1; 0 where they were mixed down.
        lost_db: how far the mix is below that of unrelated channels, see `audio.Balance`.
        source_rate_hz: sample rate of the recording.
        source_channels: channels of the recording.
        damage: why the recording ends before its time; empty if it does not.
        notes: what else its decoder has to say, a sentence each.
        digest: of the samples; tells copies.
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
        """Samples [start, stop)."""
        return np.fromfile(self.file, "<f4", stop - start, offset=start * 4)


class _Stopped(Exception):
    """Another recording failed, or the user had enough."""


def stage(
    recordings: Sequence[Recording],
    folder: Path,
    settings: BuildSettings,
    workers: int,
    progress: Progress,
) -> tuple[list[Staged], list[tuple[str, str]]]:
    """Decodes recordings in parallel; threads do, as the decoders release Python's lock.

    Args:
        recordings: what to decode.
        folder: the staging folder; what is whole there already is kept.
        settings: of the dataset.
        workers: how many recordings are decoded at once.
        progress: told of each recording that is done.

    Returns:
        What could be decoded, in the order of `recordings`, and (name, reason) of what could not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staged: dict[int, Staged] = {}
    rejected: dict[int, tuple[str, str]] = {}
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
                    rejected[number] = (recordings[number].name, str(error))
                progress("decoding", done, len(recordings))
        except BaseException:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [staged[n] for n in sorted(staged)], [rejected[n] for n in sorted(rejected)]


def _stage_once(
    recording: Recording, folder: Path, settings: BuildSettings, stopped: threading.Event
) -> Staged:
    """Decodes a recording unless that was done before."""
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
    """What an earlier preparation left, if that is whole."""
    try:
        known = read_json(facts, dict[str, _Fact | list[_Fact]])
        staged: Staged = build(Staged, {**known, **identity}, str(facts))
        return staged if staged.file.stat().st_size == 4 * staged.num_samples else None
    except (OSError, ValueError):
        return None


def _decode(
    recording: Recording, file: Path, settings: BuildSettings, stopped: threading.Event
) -> dict[str, Any]:
    """Writes the samples to a file and gives the facts.

    Where the channels cancel each other it is decoded again, and the louder one taken.
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
    with recording.open() as stream, replace_file(file) as partial, partial.open("wb") as output:
        source = stream._replace(blocks=meter.watch(stream.blocks))
        try:
            for block in audio.resampled(source, settings.sample_rate_hz, channel):
                if stopped.is_set():
                    raise _Stopped
                meter.add(block)
                output.write(block.astype("<f4").tobytes())
        except audio.DamagedError as error:
            damage = str(error)
        if meter.num_samples == 0:
            raise ValueError(damage or "holds no audio")
    return meter, {
        **meter.facts(),
        "channel": channel,
        "source_rate_hz": stream.sample_rate_hz,
        "source_channels": stream.num_channels,
        "damage": damage,
        "notes": list(stream.notes),
    }
