"""What all commands share."""

import importlib
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from absl import flags, logging

from experiments import cli
from tests.experiments.commands import ROOT, call, call_well

COMMANDS = ["prepare", "train", "evaluate", "sample", "import_checkpoint", "benchmark"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(name):
    output = call_well(name, "--help")
    assert f"python -m experiments.{name}" in output
    assert "--" in output.split("Flags:")[1]


def test_commands_are_imported_together_and_define_no_flags():
    before = set(flags.FLAGS)
    for name in COMMANDS:
        importlib.import_module(f"experiments.{name}")
    assert set(flags.FLAGS) == before


def test_a_command_leaves_this_process_as_it_was(dataset, monkeypatch):
    def state():
        return (
            *(sys.stdout, sys.stderr, list(sys.argv), Path.cwd(), dict(os.environ)),
            *(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)),
            *(logging.get_verbosity(), dict(jax.config.values), sorted(sys.path)),
        )

    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    before = state()
    call_well("prepare", f"--describe={dataset}")
    call("train", "--workdir=")
    assert state() == before


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", COMMANDS)
def test_standard_output_must_be_open(name, monkeypatch, capsys):
    """As in `python -m experiments.NAME >&-`."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"experiments.{name}", run_name="__main__")
    assert end.value.code == 2
    said = "standard output is closed, but must be a terminal, a pipe or a file such as /dev/null"
    assert capsys.readouterr().err == f"error: {said}\n"


def test_standard_output_that_a_shell_closes_is_noticed():
    command = f"{sys.executable} -m experiments.train >&-"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output is closed")


def test_standard_error_may_be_closed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as end:
        cli.run(lambda: print("to nobody", file=sys.stderr) or 3)
    sys.stderr.close()
    assert end.value.code == 3


def test_what_cannot_be_printed_is_one_sentence(dataset):
    with Path("/dev/full").open("w") as full:
        code, _, errors = call("prepare", f"--describe={dataset}", stdout=full)
    assert code == 2
    assert errors == "error: standard output: cannot be written (No space left on device)\n"


IMPORTED = "import time\nprint('begun', flush=True)\ntime.sleep(60)\n"
COLLECTING = """
import gc, signal, time
def interrupted(*_):
    gc.callbacks.clear()
    print('begun', flush=True)
    time.sleep(60)
gc.callbacks.append(interrupted)
gc.collect()
time.sleep(60)
"""


@pytest.mark.parametrize("module", [IMPORTED, COLLECTING], ids=["imported", "collecting"])
def test_ctrl_c_while_jax_is_imported_is_no_traceback(module, tmp_path):
    """Nor is it lost in a callback of the garbage collector, where Python drops exceptions."""
    (tmp_path / "jax.py").write_text(module)
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.evaluate", "--workdir=x"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "\nStopped.\n")


def test_help_does_not_wait_for_jax(tmp_path):
    (tmp_path / "jax.py").write_text("raise ImportError")
    names = [name for name in COMMANDS if name != "prepare"]  # whose help tells of its datasets
    program = f"from experiments import {', '.join(names)}\n" + "\n".join(
        f"assert {name}.main(['--help']) == 0" for name in names
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--what" in done.stdout


def test_a_mistake_in_flags_does_not_wait_for_jax(tmp_path):
    (tmp_path / "jax.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "experiments.sample", "--workdir=x", "--continuations=3"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, "error: continuations=3: needs --prompt\n")
