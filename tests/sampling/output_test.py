import resource

import jax
import numpy as np
import pytest
import soundfile

from samplernn_jax.sampling import output
from samplernn_jax.sampling.generator import Generator
from tests.tiny_models import TINY, random_params

RATE = 8000


@pytest.fixture(scope="module")
def generator():
    return Generator(TINY, random_params(TINY), RATE)


def make_stream(generator, prompt=None):
    return generator.stream(jax.random.key(0), 2, 0.05, prompt=prompt)


def record(generator, folder, encoding="wav16", prompt=None, keep_prompt=False):
    heard = []
    stream = make_stream(generator, prompt)
    return output.write(stream, folder, 1000, encoding, keep_prompt, heard.append), heard


@pytest.mark.parametrize(
    ("encoding", "suffix", "subtype", "atol"),
    [
        ("wav16", "wav", "PCM_16", 2**-15),
        ("wav24", "wav", "PCM_24", 2**-23),
        ("wav_float", "wav", "FLOAT", 0),
        ("flac", "flac", "PCM_16", 2**-15),
    ],
)
def test_files_hold_what_was_generated(generator, tmp_path, encoding, suffix, subtype, atol):
    sequences, progress = record(generator, tmp_path, encoding)
    assert progress == [400, 400, 200]
    stream = make_stream(generator)
    blocks = [(next(stream), stream.bits) for _ in range(3)]
    audio, bits = (np.concatenate(x, axis=1)[:, :1000] for x in zip(*blocks, strict=True))
    for written, waveform, expected_bits in zip(sequences, audio, bits, strict=True):
        assert written.path == tmp_path / f"{written.number}.{suffix}"
        info = soundfile.info(written.path)
        assert (info.subtype, info.samplerate, info.channels) == (subtype, RATE, 1)
        np.testing.assert_allclose(soundfile.read(written.path)[0], waveform, rtol=0, atol=atol)
        assert written.bits_per_sample == pytest.approx(expected_bits.mean())
        parts = np.split(expected_bits, [400, 800])
        np.testing.assert_allclose(written.bits_over_time, [x.mean() for x in parts], rtol=1e-5)


def test_the_prompt_is_kept_if_it_is_to_be(generator, tmp_path):
    prompt = np.linspace(-0.5, 0.5, 100)
    (written, _), _ = record(generator, tmp_path, "wav_float", prompt, keep_prompt=True)
    waveform, _ = soundfile.read(written.path)
    assert len(waveform) == 1100
    np.testing.assert_allclose(waveform[:100], prompt, atol=1 / 15)
    (without, _), _ = record(generator, tmp_path, "wav_float", prompt)
    np.testing.assert_array_equal(soundfile.read(without.path)[0], waveform[100:])


def test_the_level_stays_unless_normalization_is_asked_for(generator, tmp_path):
    sequences, _ = record(generator, tmp_path, "wav_float", keep_prompt=False)
    exact = [soundfile.read(written.path)[0] for written in sequences]
    louder = [output.normalize(written, "wav24") for written in sequences]
    assert set(tmp_path.iterdir()) == {loud.path for loud in louder}
    for before, loud in zip(exact, louder, strict=True):
        after = soundfile.read(loud.path)[0]
        assert np.abs(after).max() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(after, before / np.abs(before).max(), atol=1e-6)
        assert soundfile.info(loud.path).subtype == "PCM_24"


def test_what_was_interrupted_leaves_nothing(generator, tmp_path):
    def interrupt(length):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        output.write(make_stream(generator), tmp_path, 1000, "wav16", False, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_told_before_anything_is_done(tmp_path):
    told = output.check_size(tmp_path / "new" / "deeper", 4, 90 * 16_000, 16_000, "wav16", True)
    assert told == "4 x 90 s (11 MiB)"
    assert not (tmp_path / "new").exists()


def test_no_more_files_are_written_than_may_be_open(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    for num_processes in (1, 3):
        most = 128 * num_processes
        output.check_num_files(most, num_processes)
        with pytest.raises(ValueError, match=f"={most + 1}: must be at most {most}, as a process"):
            output.check_num_files(most + 1, num_processes)


@pytest.mark.parametrize(
    ("seconds", "encoding", "normalize", "message"),
    [
        (
            10**6,
            "wav16",
            False,
            r"1 x 11.6 days \(29.8 GiB\) is too long; .* file holds at most 4.0 GiB",
        ),
        (
            10**5,
            "flac",
            True,
            r"normalize: 1 x 27.8 hours \(3.0 GiB\) is .* long; each .* takes 6.0 GiB",
        ),
        (10**12, "flac", False, r"1 x 31,688.1 years \(.*\) at 16000 Hz does not fit; .* free"),
    ],
)
def test_what_has_no_room_is_refused(tmp_path, seconds, encoding, normalize, message):
    with pytest.raises(ValueError, match=message):
        output.check_size(tmp_path, 1, seconds * 16_000, 16_000, encoding, normalize)
