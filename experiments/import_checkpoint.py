"""Turns another implementation's checkpoint into a workdir.

    python -m experiments.import_checkpoint --source=theano --path=params.pkl --workdir=runs/old

The model's shape is read from the checkpoint. `evaluate` (with --data_path), `sample` and `train`
then use the workdir like any other; `train` trains the imported model further, and takes everything
but the model's shape from the recipe. Nothing in the file is executed: a pickle that names anything
but arrays is refused.
"""

from collections.abc import Sequence

from experiments import cli
from samplernn_jax.jobs.options.import_checkpoint import ImportOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Imports, then describes the model and the next commands; returns the exit code."""
    return cli.main(argv, __doc__, cli.options(ImportOptions), _import)


def _import(options: ImportOptions) -> None:
    from samplernn_jax.jobs.import_checkpoint import import_checkpoint

    model = import_checkpoint(options)
    path = options.workdir
    print(
        f"""Imported {model}
The checkpoint does not record quantization and sample rate. They are set to {model.q_type} and
{options.sample_rate} Hz; --q_type and --sample_rate change that.
Next:
  python -m experiments.sample --workdir={path} --output={path}/samples
  python -m experiments.evaluate --workdir={path} --data_path=DATASET
  python -m experiments.train --config=RECIPE --workdir={path} --config.data.path=DATASET"""
    )


if __name__ == "__main__":
    cli.run(main)
