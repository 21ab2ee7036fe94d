"""Measures how fast this machine trains, samples and reads data, compared with its limits.

    python -m experiments.benchmark --what=train --batch_size=16

runs training steps of the original's best 2-tier and 3-tier models on random tokens, and compares
the FLOP per second of their matrix products with those of large products in the same run.

    python -m experiments.benchmark --what=data --hours=100

writes a synthetic dataset of 100 hours to a temporary folder (in TMPDIR; 115 MB for each hour),
opens it and reads training segments, as training does. --data_path reads your own dataset instead.

    python -m experiments.benchmark --what=sample

samples from the original's best 3-tier model, one sequence and sixteen at once, and compares the
rate at which it reads weights with the memory bandwidth measured in the same run. --recipe
measures another model. The last line is a JSON object.
"""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import cli
from samplernn_jax.checks import require
from samplernn_jax.jobs.options.benchmark import BenchmarkOptions

_RECIPES = Path(__file__).parent.parent / "configs"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, then prints the figures; returns the exit code."""
    return cli.main(argv, __doc__, cli.options(BenchmarkOptions), _benchmark)


def _benchmark(options: BenchmarkOptions) -> None:
    from samplernn_jax.jobs.benchmark import benchmark

    print(json.dumps({"results": benchmark(options, _recipe, print)}))


def _recipe(name: str) -> dict[str, Any]:
    """Returns the configuration values of a recipe in configs/."""
    require(
        (_RECIPES / f"{name}.py").is_file(),
        f"recipe={name}: must be the name of a recipe in {_RECIPES}",
    )
    values: dict[str, Any] = importlib.import_module(f"configs.{name}").get_config().to_dict()
    return values


if __name__ == "__main__":
    cli.run(main)
