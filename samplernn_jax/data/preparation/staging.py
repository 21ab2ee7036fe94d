"""The first half of a preparation: every recording decoded, mixed down, resampled and measured.

The gain is one number for the whole dataset and known only when all have been heard, so each
recording is first written as float32 to a staging folder. What is whole there is not decoded
again when an interrupted preparation is run once more.
"""

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from pydantic import FiniteFloat

from samplernn_jax import audio
from samplernn_jax.audio import Frames, Waveform
from samplernn_jax.data.preparation.recordings import Recording
from samplernn_jax.data.preparation.settings import BuildSettings
from samplernn_jax.files import replace_file, write_json
from samplernn_jax.reading import build, read_json

Progress = Callable[[str, int, int], None]
"""Called as progress(what, done, total) whenever a part of the work is done."""

_FFT_SIZE = 1024
_FFT_EVERY = 8  # a spectrum of every eighth stretch is enough to find the bandwidth
_NOTHING_DB = -90.0  # below the loudest frequency
_CLIPPED = 0.98
_CLIPPED_RUN = 5


@dataclasses.dataclass(frozen=True)
class Staged:
    """A recording in the staging folder, as float32 at the dataset's rate.

    Attributes:
        name: of the recording.
        split: "train", "valid" or "test" where that is given.
        file: where the samples are.
        num_samples: how many.
        mean: of the samples.
        minimum: of the samples.
        maximum: of the samples.
        bandwidth_hz: above this there is nothing.
        clipped: fraction of the values of the recording that were clipped when it was made.
        source_rate_hz: sample rate of the recording.
        source_channels: channels of the recording.
        damage: why the recording ends before its time; empty if it does not.
        digest: of the samples; tells copies.
    """

    name: str
    split: str | None
    file: Path
    num_samples: int
    mean: float
    minimum: float
    maximum: float
    bandwidth_hz: float
    clipped: float
    source_rate_hz: int
    source_channels: int
    damage: str
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
        known = read_json(facts, dict[str, str | int | FiniteFloat])
        staged: Staged = build(Staged, {**known, **identity}, str(facts))
        return staged if staged.file.stat().st_size == 4 * staged.num_samples else None
    except (OSError, ValueError):
        return None


def _decode(
    recording: Recording, file: Path, settings: BuildSettings, stopped: threading.Event
) -> dict[str, Any]:
    """Writes the samples to a file and gives the facts."""
    meter, damage = _Meter(settings.sample_rate_hz), ""
    with recording.open() as stream, replace_file(file) as partial, partial.open("wb") as output:
        source = stream._replace(blocks=meter.clipping(stream.blocks))
        try:
            for block in audio.resampled(source, settings.sample_rate_hz, settings.channel):
                if stopped.is_set():
                    raise _Stopped
                meter.add(block)
                output.write(block.astype("<f4").tobytes())
        except audio.DamagedError as error:
            damage = str(error)
        if meter.num_samples == 0:
            raise ValueError(damage or "holds no audio")
    return {
        **meter.facts(),
        "source_rate_hz": stream.sample_rate_hz,
        "source_channels": stream.num_channels,
        "damage": damage,
    }


class _Meter:
    """Gathers the facts about a recording while it goes by."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self.num_samples = 0
        self._total = 0.0
        self._minimum, self._maximum = np.inf, -np.inf
        self._power = np.zeros(_FFT_SIZE // 2 + 1)
        self._num_values, self._num_clipped = 0, 0
        self._digest = hashlib.blake2b(digest_size=16)

    def clipping(self, blocks: Iterator[Frames]) -> Iterator[Frames]:
        """Passes on what comes from the decoder.

        A value is clipped if it is near full scale and equal to the five before: of 16 bits, not
        even low waves that were not cut off stand still at their crest for so long.
        """
        for frames in blocks:
            still = (frames[1:] == frames[:-1]) & (np.abs(frames[1:]) >= _CLIPPED)
            if len(still) >= _CLIPPED_RUN and still.any():
                runs = np.lib.stride_tricks.sliding_window_view(still, _CLIPPED_RUN, axis=0)
                self._num_clipped += int(np.count_nonzero(runs.all(axis=-1)))
            self._num_values += frames.size
            yield frames

    def add(self, block: Waveform) -> None:
        """Takes the next samples into account."""
        if len(block) == 0:
            return
        self.num_samples += len(block)
        self._total += float(block.sum(dtype=np.float64))
        self._minimum = min(self._minimum, float(block.min()))
        self._maximum = max(self._maximum, float(block.max()))
        self._power += _power_spectrum(block)
        self._digest.update(block.tobytes())

    def facts(self) -> dict[str, int | float | str]:
        """What was gathered."""
        power = self._power[1:]  # the mean is no frequency
        heard = np.flatnonzero(power > power.max() * 10 ** (_NOTHING_DB / 10))
        highest = int(heard[-1]) + 1 if len(heard) else 0
        return {
            "num_samples": self.num_samples,
            "mean": self._total / self.num_samples,
            "minimum": self._minimum,
            "maximum": self._maximum,
            "bandwidth_hz": highest * self._sample_rate_hz / _FFT_SIZE,
            "clipped": self._num_clipped / max(1, self._num_values),
            "digest": self._digest.hexdigest(),
        }


def _power_spectrum(block: Waveform) -> Float64[np.ndarray, " bins"]:
    """The summed power of some stretches of a block; of the whole block if it is short."""
    size = min(_FFT_SIZE, len(block))
    frames = block[: len(block) // size * size].reshape(-1, size)[::_FFT_EVERY]
    windowed = frames.astype(np.float64) * np.hanning(size + 2)[None, 1:-1]
    return np.square(np.abs(np.fft.rfft(windowed, _FFT_SIZE))).sum(axis=0)
