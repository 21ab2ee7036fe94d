import numpy as np
import pytest
import soundfile

from samplernn_jax import audio

RATE = 8000
EVERY_SAMPLE = np.arange(-(2**15), 2**15).astype(np.int16)
SOME_24_BIT_SAMPLES = np.concatenate(
    [np.arange(-(2**23), 2**23, 97), [2**23 - 1, 2**22 + 1, -1, 0, 1]]
).astype(np.int32)


def test_every_16_bit_sample_survives_the_round_trip():
    np.testing.assert_array_equal(audio.to_pcm16(audio.from_pcm16(EVERY_SAMPLE)), EVERY_SAMPLE)


def test_amplitudes_are_rounded_to_the_nearest_sample_and_clipped():
    amplitudes = np.array([0, 0.4, 0.6, -0.4, -0.6, 0.5, 1.5], np.float32) / np.float32(2**15)
    np.testing.assert_array_equal(audio.to_pcm16(amplitudes), [0, 0, 1, 0, -1, 0, 2])
    outside = np.array([-3e38, -1, 1, 3e38, np.inf], np.float32)
    np.testing.assert_array_equal(audio.to_pcm16(outside), [-(2**15), -(2**15), *[2**15 - 1] * 3])
    np.testing.assert_array_equal(audio.to_pcm24(outside), [-(2**23), -(2**23), *[2**23 - 1] * 3])


@pytest.mark.parametrize("encoding", ["wav16", "flac", "wav24", "wav_float"])
def test_every_16_bit_sample_survives_every_encoding(tmp_path, encoding):
    """Written, read, and written again from what was read."""
    waveform = audio.from_pcm16(EVERY_SAMPLE)
    for number in range(2):
        file = tmp_path / f"{number}.{audio.suffix(encoding)}"
        audio.write(file, waveform, RATE, encoding)
        read = audio.read(file, RATE)
        np.testing.assert_array_equal(read, waveform)
        waveform = read


def test_24_bit_samples_survive_the_round_trip(tmp_path):
    waveform = SOME_24_BIT_SAMPLES.astype(np.float32) / np.float32(2**23)
    np.testing.assert_array_equal(audio.to_pcm24(waveform), SOME_24_BIT_SAMPLES)
    audio.write(tmp_path / "x.wav", waveform, RATE, "wav24")
    np.testing.assert_array_equal(audio.read(tmp_path / "x.wav", RATE), waveform)
    assert soundfile.info(tmp_path / "x.wav").subtype == "PCM_24"


@pytest.mark.parametrize("encoding", ["wav16", "flac"])
def test_files_hold_the_samples_of_the_one_rule(tmp_path, encoding):
    waveform = np.random.default_rng(0).uniform(-1.1, 1.1, 10_000).astype(np.float32)
    file = tmp_path / f"x.{audio.suffix(encoding)}"
    audio.write(file, waveform, RATE, encoding)
    samples, _ = soundfile.read(file, dtype="int16")
    np.testing.assert_array_equal(samples, audio.to_pcm16(waveform))
