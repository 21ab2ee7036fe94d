"""Files of formats that FFmpeg writes, for tests."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def encode(path, waveforms, rate, codec, container=None, **options):
    """Writes a file.

    Args:
        path: the file.
        waveforms: [num_samples] or [num_samples, channels]; a list of these for several streams.
        rate: sample rate in Hz.
        codec: FFmpeg's name of the encoder.
        container: FFmpeg's name of the format; None as the path ends.
        options: of the container; and bit_rate, metadata, and pictures=True for a video stream.
    """
    streams = waveforms if isinstance(waveforms, list) else [waveforms]
    bit_rate = options.pop("bit_rate", 64_000)
    metadata, pictures = options.pop("metadata", {}), options.pop("pictures", False)
    with av.open(str(path), "w", format=container, options=options) as output:
        output.metadata.update(metadata)
        added = [_added(output, waveform, rate, codec, bit_rate) for waveform in streams]
        if pictures:
            _add_pictures(output)
        for stream, waveform in zip(added, streams, strict=True):
            for frame in _frames(stream, waveform, rate):
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))


def _added(output, waveform, rate, codec, bit_rate):
    stream = output.add_stream(codec, rate=rate)
    stream.layout = _LAYOUTS[1 if waveform.ndim == 1 else waveform.shape[1]]
    stream.codec_context.format = stream.codec_context.codec.audio_formats[0].name
    stream.bit_rate = bit_rate
    return stream


def _frames(stream, waveform, rate):
    context = stream.codec_context
    size = context.frame_size or 1024
    resampler = av.AudioResampler(context.format.name, context.layout.name, rate, size)
    samples = waveform.astype(np.float32)
    for start in range(0, len(samples), size):
        part = samples[start : start + size].reshape(1, -1)  # PyAV fails on 8 separate channels
        frame = av.AudioFrame.from_ndarray(part, "flt", context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _add_pictures(output):
    stream = output.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    for number in range(25):
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        picture.pts, picture.time_base = number, Fraction(1, 25)
        output.mux(stream.encode(picture))
    output.mux(stream.encode(None))


def garble(source, target, spots=20, num_bytes=50, seed=2):
    """Copies a file with random bytes in some places."""
    content = bytearray(Path(source).read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(2000, len(content) - num_bytes, spots):
        content[at : at + num_bytes] = rng.bytes(num_bytes)
    Path(target).write_bytes(content)
