import jax.numpy as jnp
import pytest

from samplernn_jax.training.window import Window


def step_metrics(bits, num_targets=10, skipped=0, grad_norm=1.0):
    values = {"bits": bits, "num_targets": num_targets, "skipped": skipped, "grad_norm": grad_norm}
    return {name: jnp.asarray(value) for name, value in values.items()}


def taken(window, wait=True):
    """What does not depend on the clock."""
    values = window.take(wait)
    return {name: x for name, x in values.items() if not name.endswith("per_s")}


def test_bits_are_means_over_targets_and_gradient_norms_over_steps():
    window = Window()
    window.add(step_metrics(1.0, num_targets=30, grad_norm=1.0))
    window.add(step_metrics(5.0, num_targets=10, grad_norm=2.0))
    assert taken(window) == {"train_bits": pytest.approx(2.0), "grad_norm": pytest.approx(1.5)}
    assert taken(window) == {}


def test_the_newest_step_is_left_for_later_unless_it_is_waited_for():
    window = Window()
    window.add(step_metrics(1.0))
    assert taken(window, wait=False) == {}
    window.add(step_metrics(2.0))
    assert taken(window, wait=False)["train_bits"] == pytest.approx(1.0)
    assert taken(window)["train_bits"] == pytest.approx(2.0)


def test_skipped_steps_are_counted_and_in_no_mean():
    window = Window()
    for bits, skipped in ((1.0, 0), (float("nan"), 1), (float("nan"), 2), (3.0, 0)):
        window.add(step_metrics(bits, skipped=skipped))
    values = taken(window)
    assert values["train_bits"] == pytest.approx(2.0)
    assert values["skipped_steps"] == 2.0
    assert window.skipped_in_a_row == 2


def test_several_steps_of_one_call_count_as_steps():
    one_by_one, at_once = Window(), Window()
    for bits, num_targets in ((1.0, 10), (2.0, 20), (3.0, 30)):
        one_by_one.add(step_metrics(bits, num_targets))
    at_once.add(
        step_metrics([1.0, 2.0, 3.0], [10, 20, 30], skipped=[0, 0, 0], grad_norm=[1.0, 1.0, 1.0])
    )
    assert taken(at_once) == pytest.approx(taken(one_by_one))
