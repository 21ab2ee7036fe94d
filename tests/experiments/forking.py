"""Runs commands in forks of one process that has imported all that they import, to save time.

A command defines its flags when it is imported, and once only, so that each call needs a process
of its own; importing jax and all else anew takes seconds, a fork none.

    python -m tests.experiments.forking

reads calls line by line, [command, argument, ...] as JSON, and answers each with a line,
[exit code, what it printed, what it wrote to standard error]. As in a shell, the argument >&-
closes standard output and 2>&- standard error.
"""

import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import samplernn_jax
from tests import permissions

_LIMIT_S = 30
"""A call that takes longer is ended, with the exit code of a signal."""


class Commands:
    """A process that runs one command after the other."""

    def __init__(self, root, environment):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.forking"],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, *command):
        """The exit code, the output and the errors."""
        print(json.dumps(command), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def _serve():
    for module in pkgutil.walk_packages(samplernn_jax.__path__, "samplernn_jax."):
        importlib.import_module(module.name)
    for line in sys.stdin:
        print(json.dumps(_call(*json.loads(line))), flush=True)


def _call(name, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "stdout", Path(folder) / "stderr"]
        child = os.fork()
        if child == 0:
            os._exit(_run(name, list(arguments), *files))
        _, status = os.waitpid(child, 0)
        told = [file.read_text(errors="replace") for file in files]
    return [os.waitstatus_to_exitcode(status), *told]


def _run(name, arguments, *files):
    """In the child: what `python -m` does, and its exit code."""
    signal.alarm(_LIMIT_S)
    for number, (file, stream) in enumerate(zip(files, ("stdout", "stderr"), strict=True), 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        closing = ">&-" if number == 1 else "2>&-"
        if closing in arguments:
            arguments.remove(closing)
            os.close(number)
            setattr(sys, stream, None)
        else:
            setattr(sys, stream, os.fdopen(number, "w", closefd=False))
    sys.argv = [name, *arguments]
    try:
        with permissions.obeyed():
            runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    return code


if __name__ == "__main__":
    _serve()
