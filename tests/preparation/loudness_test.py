import numpy as np
import pytest

from samplernn_jax.preparation import loudness


def sine(rate, seconds, hz=997.0, peak_db=0.0):
    time = np.arange(round(rate * seconds)) / rate
    return (10 ** (peak_db / 20) * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def lufs(waveform, rate, block=1000):
    blocks = [waveform[at : at + block] for at in range(0, len(waveform), block)]
    return loudness.integrated([loudness.block_powers(blocks, rate)])


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_a_full_scale_sine_of_997_hz_in_one_channel_has_3_lufs_less(rate):
    # ITU-R BS.1770-4, annex 1: "a 0 dB FS, 997 Hz sine wave ... -3.01 LKFS"
    assert lufs(sine(rate, 5), rate) == pytest.approx(-3.01, abs=0.05)
    assert lufs(sine(rate, 5, peak_db=-20), rate) == pytest.approx(-23.01, abs=0.05)


def test_the_filters_are_those_of_the_recommendation_at_48_khz():
    sections = loudness._k_weighting(48_000)
    shelf, high_pass = sections
    np.testing.assert_allclose(
        shelf[:3], [1.53512485958697, -2.69169618940638, 1.19839281085285], atol=1e-6
    )
    np.testing.assert_allclose(shelf[3:], [1, -1.69065929318241, 0.73248077421585], atol=1e-6)
    np.testing.assert_allclose(
        high_pass, [1, -2, 1, 1, -1.99004745483398, 0.99007225036621], atol=1e-6
    )


def test_pauses_do_not_count():
    tone, pause = sine(16_000, 5, peak_db=-20), np.zeros(80_000, np.float32)
    with_pauses = np.concatenate([pause, tone, pause, 0.01 * tone])
    assert lufs(with_pauses, 16_000) == pytest.approx(lufs(tone, 16_000), abs=0.4)


def test_the_pieces_in_which_a_recording_comes_do_not_matter():
    tone = sine(16_000, 3)
    expected = lufs(tone, 16_000, block=len(tone))
    for block in (1, 999, 16_000):
        assert lufs(tone[:16_000], 16_000, block) == pytest.approx(expected, abs=0.05)


def test_what_is_too_short_or_too_quiet_has_no_loudness():
    assert lufs(sine(16_000, 0.2), 16_000) is None
    assert lufs(sine(16_000, 2, peak_db=-100), 16_000) is None
    assert loudness.integrated([]) is None
