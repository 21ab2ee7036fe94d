import numpy as np
import pytest

from samplernn_jax.preparation import synthetic


@pytest.mark.parametrize("frequency_hz", [110.0, 220.0, 400.0])
def test_a_string_sounds_at_its_pitch_and_dies_away(frequency_hz):
    waveform = synthetic.pluck(frequency_hz, 1.0)
    assert len(waveform) == synthetic.SAMPLE_RATE_HZ
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    assert np.argmax(spectrum) == pytest.approx(frequency_hz, rel=0.03)
    assert np.abs(waveform[-800:]).max() < 0.8 * np.abs(waveform[:800]).max()


def test_melodies_fill_the_time_and_are_the_same_for_the_same_seed():
    def waveforms(seed):
        for recording in synthetic.melodies(minutes=0.4, seed=seed).recordings:
            with recording.open() as stream:
                yield from stream.blocks

    first, again, other = map(list, map(waveforms, (0, 0, 1)))
    assert sum(map(len, first)) == 0.4 * 60 * synthetic.SAMPLE_RATE_HZ
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
