import io
import wave

import jax
import numpy as np
import pytest

from samplernn_jax import audio
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.player import play
from tests.tiny_models import TINY, random_params

RATE = 8000


@pytest.fixture(scope="module")
def generator():
    return Generator(TINY, random_params(TINY), RATE)


class Pipe(io.BytesIO):
    """Is closed by its reader after some bytes."""

    def __init__(self, room=10**9):
        super().__init__()
        self.room = room

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise BrokenPipeError
        return super().write(data)


def stop_after(blocks):
    answers = iter([False] * blocks)
    return lambda: next(answers, True)


def make_stream(generator, num_sequences=1):
    return generator.stream(jax.random.key(0), num_sequences, 0.05)


@pytest.mark.parametrize("num_sequences", [1, 2])
def test_a_file_is_a_wav_whose_channels_are_the_sequences(generator, num_sequences):
    file = io.BytesIO()
    stream = make_stream(generator, num_sequences)
    assert play(stream, file, True, True, 1000, lambda: False) == 1000
    file.seek(0)
    with wave.open(file) as read:
        assert read.getparams()[:4] == (num_sequences, 2, RATE, 1000)
        samples = np.frombuffer(read.readframes(1000), "<i2").reshape(-1, num_sequences)
    stream = make_stream(generator, num_sequences)
    expected = np.concatenate([next(stream) for _ in range(3)], axis=1)[:, :1000]
    np.testing.assert_allclose(samples.T / 2**15, expected, atol=2**-15)


def test_a_file_of_the_stream_holds_the_very_same_samples_as_one_of_audio_write(
    generator, tmp_path
):
    stream, again = make_stream(generator), make_stream(generator)
    file = io.BytesIO(b"before")
    file.seek(6)
    play(stream, file, True, True, None, stop_after(3))
    assert file.getvalue()[:6] == b"before"
    (tmp_path / "played.wav").write_bytes(file.getvalue()[6:])
    audio.write(tmp_path / "written.wav", np.concatenate([*again.blocks(1200)], axis=1)[0], RATE)
    played, written = (audio.read(tmp_path / f"{x}.wav", RATE) for x in ("played", "written"))
    np.testing.assert_array_equal(played, written)


def test_a_wav_has_no_more_channels_than_its_header_can_say():
    generator = Generator(TINY, random_params(TINY), 2**20)
    stream, file = generator.stream(jax.random.key(0), 2048, 1e-5), io.BytesIO()
    with pytest.raises(ValueError, match="num_sequences=2048: must be at most 2047 in a WAV"):
        play(stream, file, True, False, 1, lambda: False)
    assert file.tell() == 0
    assert play(stream, file, False, False, 1, lambda: False) == 1


def test_a_pipe_gets_a_header_that_promises_all_there_can_be(generator):
    pipe = Pipe()
    assert play(make_stream(generator), pipe, True, False, None, stop_after(3)) == 1200
    content = pipe.getvalue()
    assert len(content) == 44 + 2 * 1200
    assert content[:4] == b"RIFF"
    assert content[4:8] == content[40:44] == b"\xff\xff\xff\xff"
    raw = Pipe()
    play(make_stream(generator), raw, False, False, None, stop_after(3))
    assert raw.getvalue() == content[44:]


def test_a_player_that_is_closed_ends_the_stream(generator):
    pipe = Pipe(room=2000)
    assert play(make_stream(generator), pipe, False, False, None, lambda: False) == 1200
