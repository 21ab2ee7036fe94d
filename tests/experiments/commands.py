"""Commands called in this process, and started as processes of their own."""

import contextlib
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TINY = [
    "--config.model.dim=8",
    "--config.model.emb_size=4",
    "--config.data.batch_size=8",
    "--config.data.seq_len=32",
    "--config.train.valid_every=10",
    "--config.train.log_every=5",
    "--config.sample.duration_s=0.1",
]


def call(name, *flags, stdout=None):
    """The exit code, the output and the errors of a command in this process.

    `stdout` may be a text file, for what needs a real one; then there is no output to give.
    """
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(stdout or output),
        contextlib.redirect_stderr(errors),
    ):
        code = importlib.import_module(f"experiments.{name}").main([*map(str, flags)])
    return code, output.getvalue(), errors.getvalue()


def call_well(name, *flags, stdout=None):
    """The output of a command in this process, which may not fail."""
    code, output, errors = call(name, *flags, stdout=stdout)
    assert code == 0, errors
    return output


def environment(devices=1):
    """What a user has, who does not know of NPROC."""
    of_user = {name: value for name, value in os.environ.items() if name != "NPROC"}
    return of_user | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}


def start(name, *flags, devices=1, stdout=subprocess.PIPE, text=True):
    """A command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"experiments.{name}", *map(str, flags)],
        cwd=ROOT,
        env=environment(devices),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=text,
    )


def run(name, *flags, devices=1):
    """The exit code, the output and the errors of a process."""
    process = start(name, *flags, devices=devices)
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def run_well(name, *flags, devices=1):
    """The output of a process, which may not fail."""
    code, output, errors = run(name, *flags, devices=devices)
    assert code == 0, errors
    assert "Traceback" not in errors
    return output


def training(workdir, dataset, num_steps, *more):
    """Name and flags of a training."""
    return (
        "train",
        "--config=configs/piano_small.py",
        f"--workdir={workdir}",
        f"--config.data.path={dataset}",
        f"--config.train.num_steps={num_steps}",
        "--config.model.frame_sizes=(2,8)",
        "--config.sample.every=0",
        *TINY,
        *more,
    )
