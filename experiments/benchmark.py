"""Measures how fast this machine trains and samples, and how far that is from what it can do.

    python -m experiments.benchmark --what=train --batch_size=16

runs training steps of the original's best 2-tier and 3-tier models on random tokens, and compares
the FLOP per second of their matrix products with what large products reach in the same run.

    python -m experiments.benchmark --what=data --hours=100

writes a synthetic dataset of 100 hours to a temporary folder (TMPDIR says where; it takes 115 MB
an hour), opens it and reads training segments, as training does. With --data_path it reads a
dataset of yours.

    python -m experiments.benchmark --what=sample

samples from the original's best 3-tier model, one sequence and sixteen at once, and compares the
bytes per second of weights that it reads with what the memory delivers in the same run. --recipe
takes another model. The last line is a JSON object.
"""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import cli
from samplernn_jax.jobs.options.benchmark import BenchmarkOptions

_RECIPES = Path(__file__).parent.parent / "configs"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, then prints the figures; gives the exit code."""
    return cli.main(argv, __doc__, cli.options(BenchmarkOptions), _benchmark)


def _benchmark(options: BenchmarkOptions) -> None:
    from samplernn_jax.jobs.benchmark import benchmark

    print(json.dumps({"results": benchmark(options, _recipe, print)}))


def _recipe(name: str) -> dict[str, Any]:
    """The values of a recipe in configs/."""
    if not (_RECIPES / f"{name}.py").is_file():
        raise ValueError(f"recipe={name}: must be the name of a recipe in {_RECIPES}")
    values: dict[str, Any] = importlib.import_module(f"configs.{name}").get_config().to_dict()
    return values


if __name__ == "__main__":
    cli.run(main)
