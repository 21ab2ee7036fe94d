r"""Trains a SampleRNN or a WaveNet, and resumes a stopped run.

    python -m experiments.train

trains a small model on a synthetic corpus, without any download. With your own recordings:

    python -m experiments.prepare --input=my_recordings --output=datasets/mine
    python -m experiments.train --config=configs/piano_small.py --workdir=runs/mine \
        --config.data.path=datasets/mine

The same command again resumes a stopped run exactly where it was. Any field of the configuration
can be set on the command line, such as --config.model.dim=512 or --config.train.num_steps=20000;
--plan shows how much memory and time the training would take, and whether the model will play live.
On a TPU pod or under SLURM, run it on every host with --coordinator=auto.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from tqdm import tqdm

from experiments import cli, recipe
from samplernn_jax.jobs.options.train import TrainOptions

if TYPE_CHECKING:
    from samplernn_jax.config import ExperimentConfig

_DEMO = Path(__file__).parent.parent / "configs" / "demo.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Trains, then lists the results and the next commands; returns the exit code."""
    return cli.main(argv, __doc__, _define, _train, together=True)


def _define(
    values: flags.FlagValues, arguments: list[str]
) -> Callable[[], tuple[TrainOptions, recipe.Recipe]]:
    read_options = cli.options(TrainOptions)(values, arguments)
    help = "Recipe to train. Each file in configs/ says what it is for."
    read_recipe = recipe.define(values, arguments, _DEMO, help)
    return lambda: (read_options(), read_recipe())


def _train(asked: tuple[TrainOptions, recipe.Recipe]) -> None:
    from samplernn_jax.jobs.train import experiment
    from samplernn_jax.processes import is_first_process
    from samplernn_jax.training.run import print_plan, train

    options, given = asked
    workdir = Path(options.workdir or f"runs/{given.name}")
    config = experiment(given.values, given.given, workdir, _tell)
    if options.plan:
        print_plan(config, _tell)
        return
    train(config, workdir, _tell, options.from_step)
    if is_first_process():
        _say_what_is_next(config, workdir)


def _say_what_is_next(config: "ExperimentConfig", workdir: Path) -> None:
    print(
        f"""
Trained. In {workdir} you find
  samples/            what the model generated: wavs to listen to, and their spectrograms
  learning_curve.png  bits per sample during training, beside the baselines
  metrics.jsonl       the same in numbers; tensorboard/ for TensorBoard
Next (both commands use the best checkpoint in validation):
  python -m experiments.evaluate --workdir={workdir} --split=test
  python -m experiments.sample --workdir={workdir} --output={workdir}/more --duration_s=10"""
    )
    if not config.data.path:
        print(
            """With your own recordings (see README.md):
  python -m experiments.prepare --input=FOLDER --output=datasets/mine
  python -m experiments.train --config=configs/piano_small.py --workdir=runs/mine \\
      --config.data.path=datasets/mine"""
        )


def _tell(line: str) -> None:
    """Prints above the progress bar, if there is one."""
    tqdm.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    cli.run(main)
