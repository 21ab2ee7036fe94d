import pytest

from samplernn_jax.units import (
    amplitude,
    clock_time,
    decibels,
    describe_bytes,
    describe_duration,
)


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (19_456, "19 KiB"),
        (2**20, "1 MiB"),
        (2**30 - 1, "1024 MiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (2**42, "4,096.0 GiB"),
    ],
)
def test_sizes_are_in_powers_of_1024(num_bytes, expected):
    assert describe_bytes(num_bytes) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.1, "0.1 s"),
        (90, "90 s"),
        (120, "2.0 minutes"),
        (7199, "120.0 minutes"),
        (7200, "2.0 hours"),
        (1e6, "11.6 days"),
        (1e12, "31,688.1 years"),
    ],
)
def test_a_duration_is_in_the_largest_unit_that_it_has_two_of(seconds, expected):
    assert describe_duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(5, "00:05"), (310.4, "05:10"), (3910, "1:05:10"), (4 * 86400, "4 days")],
)
def test_running_times_look_as_on_a_clock(seconds, expected):
    assert clock_time(seconds) == expected


def test_amplitudes_and_levels_are_inverse():
    assert decibels(1) == 0
    assert decibels(0.5) == pytest.approx(-6.02, abs=0.01)
    assert decibels(0) == -120
    for level_db in (-60.0, -6.0, 0.0, 12.0):
        assert decibels(amplitude(level_db)) == pytest.approx(level_db)
