r"""Trains a SampleRNN or a WaveNet, and goes on with a stopped training.

    python -m experiments.train

trains a small model on a synthetic corpus, without any download. With your own recordings:

    python -m experiments.prepare --input=my_recordings --output=datasets/mine
    python -m experiments.train --config=configs/piano_small.py --workdir=runs/mine \
        --config.data.path=datasets/mine

The same command again goes on exactly where a stopped run was. Any field of the configuration can
be set on the command line, such as --config.model.dim=512 or --config.train.num_steps=20000; with
--plan it says how much memory and time that would take, and whether the model will play live. On a
TPU pod or under SLURM, run it on every host with --coordinator=auto.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from experiments import cli, processes
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.processes import is_first_process
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.training.run import print_plan, train

_DEMO = Path(__file__).parent.parent / "configs" / "demo.py"

with cli.config_mistakes():
    _CONFIG = config_flags.DEFINE_config_file(
        "config", str(_DEMO), "Recipe to train; the files in configs/ say what each is for."
    )
flags.FLAGS["config"].parser = cli.RecipeParser(flags.FLAGS["config"].parser)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run. Default: runs/ and the name of the recipe."
)
_PLAN = flags.DEFINE_boolean(
    "plan",
    False,
    "Say in about a minute what the training would take over batch sizes, and do not train.",
)
_FROM_STEP = flags.DEFINE_integer(
    "from_step", None, "Go on from this checkpoint and remove the later ones. Default: the latest."
)
flags.adopt_module_key_flags(processes)


def main() -> None:
    """Trains, then says what there is to look at and what to do next."""
    recipe = Path(flags.FLAGS["config"].config_filename.split(":", 1)[0])
    processes.join()
    cli.check_paths("workdir")
    workdir = Path(_WORKDIR.value or f"runs/{recipe.stem}")
    config = ExperimentConfig.from_mapping(_with_imported_model(_CONFIG.value.to_dict(), workdir))
    if _PLAN.value:
        print_plan(config, _report)
        return
    train(config, workdir, _report, _FROM_STEP.value)
    if is_first_process():
        _say_what_is_next(config, workdir)


def _say_what_is_next(config: ExperimentConfig, workdir: Path) -> None:
    print(
        f"""
Trained. In {workdir} you find
  samples/            what the model generated: wavs to listen to, and their spectrograms
  learning_curve.png  bits per sample while training, and what they are without a model
  metrics.jsonl       the same in numbers; tensorboard/ for TensorBoard
Go on with (both take the checkpoint that was best in validation)
  python -m experiments.evaluate --workdir={workdir} --split=test
  python -m experiments.sample --workdir={workdir} --output={workdir}/more --duration_s=10"""
    )
    if not config.data.path:
        print(
            """and with your own recordings (see README.md)
  python -m experiments.prepare --input=FOLDER --output=datasets/mine
  python -m experiments.train --config=configs/piano_small.py --workdir=runs/mine \\
      --config.data.path=datasets/mine"""
        )


def _with_imported_model(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The configuration, with the model that the workdir was given, if it was.

    The recipe's model is for a new one. What stands on the command line is asked for, and is
    obeyed or refused.
    """
    workdir = Workdir(path)
    if workdir.imported_model is None:
        return values
    if not values["data"]["path"]:
        raise ValueError(
            "config.data.path='': must name a dataset to train the imported model of "
            f"{path} with, as the synthetic corpus has another sample rate"
        )
    given = {
        name.removeprefix("model."): value
        for name, value in config_flags.get_override_values(flags.FLAGS["config"]).items()
        if name.startswith("model.")
    }
    imported = workdir.imported_model_with(given)
    model = {"architecture": imported.architecture, **dataclasses.asdict(imported)}
    if model != values["model"] and is_first_process():
        _report("Training the imported model of the workdir; the recipe's is not used.")
    return {**values, "model": model}


def _report(line: str) -> None:
    """Prints above the progress bar, if there is one."""
    tqdm.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    cli.run(main, __doc__)
