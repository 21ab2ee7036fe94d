import numpy as np
import pytest

from samplernn_jax.preparation import silence

RATE = 1000  # so a window has 20 samples


def parts(waveform, max_silence_s=0.1):
    waveform = np.asarray(waveform, np.float32)
    return silence.sounding(
        lambda start, stop: waveform[start:stop], len(waveform), RATE, 0.01, max_silence_s
    )


def sound(num_samples):
    return np.full(num_samples, 0.5) * (-1) ** np.arange(num_samples)


def test_silence_at_the_ends_is_left_out_but_a_window():
    assert parts(np.concatenate([np.zeros(200), sound(100), np.zeros(300)])) == [(180, 320)]


def test_long_silence_inside_divides_and_short_silence_stays():
    quiet = 1e-3 * sound(400)
    assert parts(np.concatenate([sound(100), quiet[:100], sound(100)])) == [(0, 300)]
    assert parts(np.concatenate([sound(100), quiet, sound(100)])) == [(0, 120), (480, 600)]


def test_all_silent_is_nothing_and_all_sound_is_everything():
    assert parts(np.zeros(500)) == []
    assert parts(sound(333)) == [(0, 333)]
    assert parts(sound(5)) == [(0, 5)]


@pytest.mark.parametrize("num_samples", [3 * 20 * 2**14 + 17])
def test_long_recordings_are_read_in_pieces_with_the_same_result(num_samples):
    waveform = np.zeros(num_samples, np.float32)
    waveform[20 * 2**14 - 50 : 20 * 2**14 + 50] = 0.5
    waveform[-1] = 0.5
    longest = 0

    def read(start, stop):
        nonlocal longest
        longest = max(longest, stop - start)
        return waveform[start:stop]

    found = silence.sounding(read, num_samples, RATE, 0.01, 0.1)
    middle = 20 * 2**14
    assert found == [(middle - 80, middle + 80), (num_samples - 37, num_samples)]
    assert longest <= 20 * 2**14
