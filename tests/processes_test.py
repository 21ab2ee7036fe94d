"""What needs no second process; see tests/experiments/processes_test.py for the rest."""

import subprocess
import sys

import jax
import pytest

from samplernn_jax import processes
from tests.ports import free_port


@pytest.mark.parametrize("value", [0.0, 2.0**24 + 1, 1 / 3, float("inf"), -1e300])
def test_a_value_of_the_first_process_keeps_all_its_bits(value):
    assert processes.from_first_process(value) == value


def test_a_process_whose_beat_stands_still_is_missing():
    beats = processes._Beats()
    assert beats.missing({"0": "1", "1": "1"}, now_s=0.0) is None
    assert beats.missing({"0": "40", "1": "1"}, now_s=processes._DEAD_AFTER_S) is None
    assert beats.missing({"0": "41", "1": "1"}, now_s=processes._DEAD_AFTER_S + 0.1) == 1


def test_a_process_that_has_left_or_lives_is_not_missing():
    beats = processes._Beats()
    for second in range(200):
        assert beats.missing({"0": str(second), "1": "left"}, float(second)) is None


def caused(error, cause):
    try:
        raise error from cause
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("a field"), False),
        (jax.errors.JaxRuntimeError("UNKNOWN: Gloo: Connection closed by peer"), True),
        (ValueError("Gloo context initialization failed: Connection reset by peer"), True),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"), False),
        (caused(ValueError("not saved"), jax.errors.JaxRuntimeError("UNAVAILABLE")), True),
    ],
)
def test_an_error_of_the_connection_is_told_from_an_error_of_this_process(error, expected):
    assert processes._is_of_connection(error) is expected


def test_one_process_alone_ends_nobody_and_says_nothing(capsys):
    processes.end_all(ValueError("a field"), "a field", 2)
    processes.leave()
    assert capsys.readouterr() == ("", "")


def test_who_waits_for_one_that_never_comes_ends_with_a_sentence():
    coordinator = f"127.0.0.1:{free_port()}"
    program = (
        "from samplernn_jax import processes; processes._MEET_WITHIN_S = 1; "
        f"processes.join_processes({coordinator!r}, 2, 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert f"error: coordinator={coordinator}: some processes did not join within 1 s; " in (
        ended.stderr
    )
    assert processes._MEET_WITHIN_S < 60
