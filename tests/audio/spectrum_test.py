import numpy as np
import pytest

from samplernn_jax.audio import power_spectrogram


@pytest.mark.parametrize("hop", [1, 16, 64, 100])
@pytest.mark.parametrize("num_samples", [64, 65, 1000])
def test_frames_begin_at_every_hop_and_lie_inside_the_waveform(num_samples, hop):
    waveform = np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
    starts = range(0, num_samples - 64 + 1, hop)
    window = np.hanning(66)[1:-1]
    expected = [np.abs(np.fft.rfft(waveform[at : at + 64] * window, 128)) ** 2 for at in starts]
    power = power_spectrogram(waveform, 64, hop, 128)
    np.testing.assert_allclose(power, expected, rtol=1e-12, atol=1e-12)


def test_a_tone_is_loudest_at_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    power = power_spectrogram(tone, 512, 128, 512)
    assert set(power.argmax(axis=1)) == {64}
