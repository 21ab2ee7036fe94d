"""Formats that FFmpeg reads, through PyAV: MPEG audio, and the containers of phones and films.

This is the only module that imports PyAV, and only when a file needs it, as the import is slow.
"""

import contextlib
import dataclasses
import functools
import io
import itertools
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from samplernn_jax.audio.recording import DamagedError, Frames, OpenRecording
from samplernn_jax.checks import require

_ENDINGS = """
.aac .m4a .m4b .m4p .mp4 .m4v .f4v .mov .qt .3gp .3g2 .webm .mkv .mka .wma .wmv .asf .avi .flv
.mpg .mpeg .vob .mts .m2ts .mp2 .mpa .amr .ape .wv .tta .tak .mpc .ac3 .eac3 .dts .ogv .spx .oma
.ra .rm .dsf .dff .aax
"""
EXTENSIONS = frozenset(_ENDINGS.split())
"""The usual file name endings of formats that FFmpeg reads and libsndfile does not."""

_BLOCK_FRAMES = 2**18
_PROTECTED_TAGS = ("drms", "enca", "aavd")  # FairPlay, common encryption, Audible
_TOLERANCE_S = 0.5  # the error that a container may make about its length
_MOST_PADDING = 2**13  # the most samples that an encoder adds

Log = list[tuple[int, str, str]]
"""Messages of FFmpeg: level, component, text."""


@dataclasses.dataclass
class _DecoderEvents:
    """Events during decoding.

    Attributes:
        complaints: the times in seconds and the messages of the decoder.
        num_lost: the number of packets that could not be decoded.
        padding: the number of decoded samples at the end that the container does not count.
    """

    complaints: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    num_lost: int = 0
    padding: int = 0

    def notes(self) -> Iterator[str]:
        """Yields the complaints in a sentence, if there are any."""
        if self.complaints:
            at_s, what = self.complaints[0]
            lost = f", and {self.num_lost} pieces are lost" if self.num_lost else ""
            yield (
                f"has errors: its decoder complains {len(self.complaints)} times, first at "
                f"{at_s:.1f} s ({what}){lost}"
            )


@contextlib.contextmanager
def open_recording(raw: io.FileIO, start: int, num_frames: int | None) -> Iterator[OpenRecording]:
    """Opens the first audio stream of a file of any format that FFmpeg reads.

    The delay and padding of the encoder, as marked in the container, are left out.

    Args:
        raw: the file.
        start: the first frame to read; earlier ones are decoded and dropped.
        num_frames: the number of frames to read; None for all that follow.

    Raises:
        ValueError: the file cannot be read, holds no audio, or is copy-protected; the blocks raise
            DamagedError where it is cut short.
    """
    with _opened(raw) as (container, log):
        streams = container.streams.audio
        require(bool(streams), "has no audio" + ", only pictures" * bool(container.streams.video))
        known = streams[0].codec_context is not None
        require(known, "cannot be read as audio (its codec is unknown)")
        is_protected = _is_protected(streams[0], log)
        require(
            not is_protected, "is copy-protected (DRM), so only its seller's player can read it"
        )
        events = _DecoderEvents()
        frames = _frames(container, events)
        first = next(frames, None)
        if first is None:
            complaint = events.complaints[0][1] if events.complaints else "it is empty"
            raise ValueError(f"cannot be read as audio ({complaint})")
        several = f"has {len(streams)} audio streams; the first is used"
        notes = [several] if len(streams) > 1 else []
        rate, layout = first.sample_rate, first.layout
        pieces = _pieces(itertools.chain([first], frames), events, notes)
        pieces = _checked(_without_padding(pieces, events), _promised_s(container, log), rate)
        stop = min(
            sys.maxsize if num_frames is None else start + num_frames,
            _exact_length(container, rate) or sys.maxsize,
        )
        blocks = _part(pieces, start, stop)
        yield OpenRecording(rate, layout.nb_channels, blocks, 0, start, notes)


@functools.cache
def _av() -> ModuleType:
    """Returns PyAV, with FFmpeg's messages going only to `Capture`."""
    import av
    import av.logging

    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)
    logging.getLogger("libav").addHandler(logging.NullHandler())
    return av


class _File:
    """A file for PyAV, without its name, whose ending proves nothing.

    In damaged files FFmpeg seeks to before the beginning, where PyAV would print a traceback.
    """

    def __init__(self, raw: io.FileIO) -> None:
        raw.seek(0)
        self.read, self.tell = raw.read, raw.tell
        self._seek = raw.seek

    def seek(self, offset: int, whence: int) -> int:
        """Returns the new position, or the negative error number as FFmpeg does."""
        try:
            return self._seek(offset, whence)
        except OSError as error:
            return -(error.errno or 1)


@contextlib.contextmanager
def _opened(raw: io.FileIO) -> Iterator[tuple[Any, Log]]:
    """Yields the container and FFmpeg's messages; playlists may not open other files."""
    av = _av()
    with av.logging.Capture() as log:
        try:
            container = av.open(
                _File(raw), "r", options={"protocol_whitelist": "none"}, metadata_errors="replace"
            )
        except av.error.FFmpegError as error:
            reason = log[0][2].strip() if log else error.strerror
            raise ValueError(f"cannot be read as audio ({reason})") from error
    with container:
        yield container, log


def _is_protected(stream: Any, log: Log) -> bool:
    """Returns whether the samples are encrypted; some encrypted files decode to noise."""
    try:
        tag = stream.codec_tag
    except UnicodeDecodeError:  # PyAV expects ASCII
        tag = ""
    return tag in _PROTECTED_TAGS or any("DRM" in message for _, _, message in log)


def _promised_s(container: Any, log: Log) -> float | None:
    """Returns the duration that the container states; None if it does not, or only estimates it."""
    if any("Estimating duration" in message for _, _, message in log):
        return None
    av = _av()
    timed = [
        stream
        for stream in container.streams
        if stream.type in ("audio", "video")
        and not stream.disposition & av.stream.Disposition.attached_pic
    ]
    audio = container.streams.audio[0]
    if len(timed) == 1 and container.duration is not None:
        return container.duration / av.time_base
    if container.format.name.startswith("mov") and audio.duration is not None:
        return float(audio.duration * audio.time_base)
    return None  # other containers state the duration of the longest stream


def _exact_length(container: Any, sample_rate_hz: int) -> int | None:
    """Returns the number of samples without padding, from iTunes' tag if there is no edit list."""
    fields = container.metadata.get("iTunSMPB", "").split()
    audio = container.streams.audio[0]
    if len(fields) < 4 or audio.duration is None:
        return None
    try:
        length = int(fields[3], 16)
    except ValueError:  # only the tag is damaged
        return None
    padding = float(audio.duration * audio.time_base) * sample_rate_hz - length
    return length if length > 0 and 0 <= padding <= _MOST_PADDING else None


def _frames(container: Any, events: _DecoderEvents) -> Iterator[Any]:
    """Yields PyAV's frames of the first audio stream.

    Raises:
        DamagedError: the container is broken from here on.
    """
    av, stream = _av(), container.streams.audio[0]
    # Messages from FFmpeg's own threads could be about other files, which would not show.
    stream.codec_context.thread_count = 1
    packets, at_s = container.demux(stream), 0.0
    while True:
        with av.logging.Capture() as log:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                raise DamagedError(f"is damaged ({error.strerror})") from error
            except IndexError as error:  # PyAV knows only the streams at the beginning
                raise DamagedError("has an unexpected stream from here on") from error
            try:
                frames, lost = packet.decode(), []
            except av.error.FFmpegError as error:
                frames, lost = [], [error.strerror]
        at_s = at_s if packet.pts is None else float(packet.pts * packet.time_base)
        said = [message.strip() for level, _, message in log if level <= av.logging.ERROR]
        events.complaints += [(at_s, message) for message in said or lost]
        events.num_lost += len(lost)
        if packet.size:  # not the empty one at the end
            events.padding = _padding(packet, frames)
        elif frames:  # the decoder was behind, so the last packet was not the end
            events.padding = 0
        yield from frames


def _padding(packet: Any, frames: list[Any]) -> int:
    """Returns the number of samples decoded from a packet that the container does not count.

    Containers that count in milliseconds are not precise enough.
    """
    if not frames or not packet.duration:
        return 0
    ticks_per_sample = 1 / (packet.time_base * frames[0].sample_rate)
    if ticks_per_sample < 1:
        return 0
    num_samples = sum(frame.samples for frame in frames)
    return max(0, num_samples - round(packet.duration / ticks_per_sample))


def _pieces(frames: Iterator[Any], events: _DecoderEvents, notes: list[str]) -> Iterator[Frames]:
    """Yields samples, converted to the rate and channels of the first frame if these change."""
    av, first = _av(), None
    try:
        for (_, *form), run in itertools.groupby(
            frames, lambda frame: (frame.format.name, frame.sample_rate, frame.layout.name)
        ):
            if first is None:
                first = form
                num_channels = av.AudioLayout(form[1]).nb_channels
            # PyAV reads beyond the planes of eight channels and more, so they are interleaved.
            resampler = av.AudioResampler("flt", rate=first[0])
            for frame in itertools.chain(run, [None]):
                for converted in filter(None, resampler.resample(frame)):
                    yield _in_channels(converted, num_channels)
            if form != first:
                notes.append(f"is partly {form[1]} at {form[0]} Hz, which was converted")
    except av.error.FFmpegError as error:
        raise DamagedError(f"is damaged ({error.strerror})") from error
    finally:
        notes += events.notes()


def _in_channels(frame: Any, num_channels: int) -> Frames:
    """Returns the samples of a frame; if the channels differ, their mean in every channel."""
    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    if samples.shape[1] == num_channels:
        return samples
    return np.repeat(samples.mean(axis=1, keepdims=True), num_channels, axis=1)


def _without_padding(pieces: Iterator[Frames], events: _DecoderEvents) -> Iterator[Frames]:
    """Yields all pieces without the padding, which is known after the last one was decoded."""
    last = None
    for piece in pieces:
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last[: max(0, len(last) - events.padding)]


def _checked(pieces: Iterator[Frames], promised_s: float | None, rate: int) -> Iterator[Frames]:
    """Yields all pieces.

    Raises:
        DamagedError: the container promised more; raised at the end.
    """
    num_frames = 0
    for piece in pieces:
        num_frames += len(piece)
        yield piece
    if promised_s is not None and num_frames / rate < promised_s - _TOLERANCE_S:
        raise DamagedError(
            f"ends early or is damaged; {num_frames / rate:.1f} s of {promised_s:.1f} s can be read"
        )


def _part(pieces: Iterator[Frames], start: int, stop: int) -> Iterator[Frames]:
    """Yields frames [start, stop) in larger blocks."""
    held: list[Frames] = []
    position, num_held, damage = 0, 0, None
    try:
        for piece in pieces:
            kept = piece[max(0, start - position) : max(0, stop - position)]
            position += len(piece)
            held.append(kept)
            num_held += len(kept)
            if num_held >= _BLOCK_FRAMES:
                yield np.concatenate(held)
                held, num_held = [], 0
            if position >= stop:
                break
    except DamagedError as error:
        damage = error
    if num_held:
        yield np.concatenate(held)
    if damage is not None:
        raise damage
