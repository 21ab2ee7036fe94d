"""Signals, and what is said about them, in a program that waits for its devices."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from samplernn_jax import interruption
from samplernn_jax.interruption import Interrupted, Request, RunStatus, noticed

ENDLESS_STEP = """
import sys
import jax
from samplernn_jax.interruption import RunStatus, Request, noticed

step = jax.jit(lambda x: jax.lax.while_loop(lambda x: x < 1, lambda x: x * 0.5, x))
step.lower(0.5).compile()
with noticed(Request(), RunStatus(int(sys.argv[1]), int(sys.argv[2]))):
    print("begun", flush=True)
    jax.block_until_ready(step(0.5))
"""


@pytest.fixture
def endless(request):
    """A process that is in a step that never ends, after the step that is saved."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS_STEP, *map(str, request.param)],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(240, process.kill)
    watchdog.start()
    assert process.stdout.readline() == "begun\n"
    yield process
    watchdog.cancel()
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("endless", "number", "first", "second"),
    [
        (
            (7, 5),
            signal.SIGINT,
            "Finishing the step and saving; interrupt again to stop at once and lose 2 steps.",
            "Stopped at once, which loses 2 steps; the same command goes on after step 5.",
        ),
        (
            (1, 0),
            signal.SIGTERM,
            "Finishing the step and saving; interrupt again to stop at once and lose 1 step.",
            "Stopped at once, which loses 1 step; the same command starts again.",
        ),
        (
            (1500, 1500),
            signal.SIGINT,
            "Stopping; step 1500 is saved.",
            "Stopped at once, which loses nothing; the same command goes on after step 1500.",
        ),
    ],
    indirect=["endless"],
)
def test_signals_are_answered_at_once_whatever_the_devices_do(endless, number, first, second):
    for line in (first, second):
        for _ in range(2):  # as where a shell and `timeout` both pass it on
            endless.send_signal(number)
        assert endless.stderr.readline() == "\n"
        assert endless.stderr.readline() == f"{line}\n"
        time.sleep(interruption._ONE_PRESS_S + 0.2)
    assert endless.wait(timeout=60) == 128 + number
    assert endless.stderr.read() == ""


def test_what_is_done_again_ends_at_once():
    request = Request()
    with (
        noticed(request),
        pytest.raises(Interrupted, match="is done again") as error,
        request.ends_at_once("is done again"),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")
    assert error.value.exit_code == 128 + signal.SIGTERM
    with pytest.raises(Interrupted, match="is not begun"), request.ends_at_once("is not begun"):
        pytest.fail("began")


def test_the_handlers_are_those_of_before_in_the_end():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = threading.active_count()
    with noticed(Request(), RunStatus(0, 0)):
        assert threading.active_count() == threads + 1
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert threading.active_count() == threads
    assert signal.set_wakeup_fd(-1) == -1
