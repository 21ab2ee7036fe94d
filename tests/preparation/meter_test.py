import numpy as np
import pytest

from samplernn_jax.preparation.meter import Meter, inliers

RATE = 8000


def noise(seconds, peak=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-peak, peak, round(seconds * RATE)).astype(np.float32)


def facts(*blocks):
    meter = Meter(RATE)
    for block in blocks:
        meter.add(block)
    return meter.facts()


def test_a_hundredth_of_the_windows_may_be_far_louder_than_all_others():
    peaks = np.random.default_rng(0).uniform(0.05, 0.1, 1000)
    at = [0, 1, 2, 3, 4, 17, 500, 501, 999]
    peaks[at] = [0.3, 1, 2, 10, 1e30, 0.25, 0.4, 0.5, 0.6]
    np.testing.assert_array_equal(np.flatnonzero(~inliers(peaks)), at)
    assert inliers(10 * np.delete(peaks, at)).all()


@pytest.mark.parametrize("first", [0, 300, 992])
def test_what_is_loud_for_longer_is_sound_unless_no_sound_is_so_loud(first):
    peaks = np.random.default_rng(0).uniform(0.05, 0.1, 1000)
    for length in range(1, 9):
        for peak, is_sound in ((0.7, length > 5), (1e30, False)):
            changed = peaks.copy()
            changed[first : first + length] = 0.6
            changed[first + length // 2] = peak
            assert inliers(changed)[first : first + length].tolist() == [is_sound] * length
            assert np.delete(inliers(changed), np.s_[first : first + length]).all()


def test_silence_does_not_make_sound_an_outlier():
    """Two seconds of sound in ten minutes."""
    peaks = np.concatenate([np.full(30_000, 1e-5), np.linspace(0.1, 1.0, 100)])
    assert inliers(peaks).all()
    assert inliers(np.zeros(100)).all()


def test_nothing_is_an_outlier_in_less_than_a_second():
    peaks = np.full(50, 0.1)
    peaks[7] = 1.0
    assert inliers(peaks).all()


def test_an_outlier_changes_nothing_but_the_extremes_and_is_located():
    clean = noise(10) + np.float32(0.2)
    clicked = clean.copy()
    clicked[5 * RATE + 17] = 1e30
    clicked[6 * RATE] = -3.0
    before, after = facts(clean), facts(clicked)
    for name in ("mean", "rms", "low", "high"):
        assert after[name] == pytest.approx(before[name], rel=2e-3), name
    assert (after["minimum"], after["maximum"]) == (-3.0, pytest.approx(1e30))
    assert after["peak_s"] == pytest.approx(5.0, abs=0.02)


def test_the_facts_are_those_of_numpy():
    waveform = noise(3.3333) + np.float32(0.1)
    found = facts(waveform)
    exact = waveform.astype(np.float64)
    assert found["mean"] == pytest.approx(exact.mean(), rel=1e-12)
    assert found["rms"] == pytest.approx(exact.std(), rel=1e-9)
    assert (found["low"], found["high"]) == (exact.min(), exact.max())
    assert found["num_samples"] == len(waveform)


def test_the_size_of_the_blocks_changes_nothing():
    waveform = noise(3)
    whole, parts = facts(waveform), facts(waveform[:1], waveform[1:1000], waveform[1000:])
    assert whole["digest"] == parts["digest"]
    for name in whole.keys() - {"spectrum", "bandwidth_hz", "digest"}:
        assert whole[name] == pytest.approx(parts[name], rel=1e-12), name


def test_the_spectrum_says_where_the_power_is():
    low = np.sin(2 * np.pi * 100 * np.arange(3 * RATE) / RATE).astype(np.float32)
    high = np.sin(2 * np.pi * 3000 * np.arange(3 * RATE) / RATE).astype(np.float32)
    bands = [facts(tone)["spectrum"] for tone in (low, high)]
    assert np.argmax(bands[0]) < np.argmax(bands[1])
    assert facts(0.01 * low)["spectrum"] == pytest.approx(bands[0], abs=0.02)
    assert facts(0 * low)["spectrum"] == [-60.0] * len(bands[0])
