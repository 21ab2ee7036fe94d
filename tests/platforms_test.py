import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

PROGRAM = """
import importlib, pkgutil, sys

for name in ("fcntl", "resource"):  # which Windows lacks
    sys.modules[name] = None

import experiments
import samplernn_jax

for module in pkgutil.walk_packages(samplernn_jax.__path__, "samplernn_jax."):
    importlib.import_module(module.name)
for command in pkgutil.iter_modules(experiments.__path__, "experiments."):
    importlib.import_module(command.name)
"""


def test_everything_is_imported_without_what_only_unix_has():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
