import numpy as np
import pytest

from samplernn_jax.plots import learning_curve, without_short_windows

NOISE = np.random.default_rng(0).normal(3.0, 0.5, 2001)
"""Bits of single steps, of a model that does not change."""


def windows(*ends):
    """Means over the steps up to each end."""
    return [(b, NOISE[a:b].mean()) for a, b in zip((0, *ends), ends, strict=False)]


def swing(points):
    return np.abs(np.array([bits for _, bits in points]) - 3.0).max()


def test_a_curve_does_not_show_where_the_run_was_stopped():
    undisturbed = windows(*range(50, 2001, 50))
    stops = [51, 303, 304, 777, 1201, 1202, 1499, 1998]
    stopped = windows(*sorted([*range(50, 2001, 50), *stops]))
    assert swing(stopped) > 3 * swing(undisturbed)
    joined = without_short_windows(stopped)
    assert swing(joined) < 1.5 * swing(undisturbed)
    assert len(joined) >= len(undisturbed)


def test_means_are_weighed_by_their_steps():
    points = [(50, 4.0), (51, 9.0), (100, 2.0), (150, 2.0)]
    assert without_short_windows(points) == [
        (50, 4.0),
        (100, pytest.approx((1 * 9 + 49 * 2) / 50)),
        (150, 2.0),
    ]


@pytest.mark.parametrize("points", [[], [(7, 2.0)], [(50, 3.0), (100, 2.0), (150, 1.0)]])
def test_a_run_that_was_not_stopped_is_drawn_as_it_is(points):
    assert without_short_windows(points) == points


def test_a_curve_is_drawn_of_any_log(tmp_path):
    baselines = {"histogram_bits": 5.0}
    for entries in ([], [{"step": 0, "valid_bits": 3.0}], [{"step": 5, "skipped_steps": 5.0}]):
        learning_curve(tmp_path / "curve.png", entries, baselines)
    assert (tmp_path / "curve.png").stat().st_size > 0
