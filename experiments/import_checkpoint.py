"""Makes a workdir out of another implementation's checkpoint.

    python -m experiments.import_checkpoint --source=theano --path=params.pkl --workdir=runs/old

The model's shape is read off the checkpoint. Then `evaluate` (with --data_path), `sample` and
`train` take the workdir like one of their own; `train` goes on training the imported model, with
everything but the model's shape from the recipe. Nothing in the file is run: a pickle that names
anything but arrays is refused.
"""

from collections.abc import Sequence

from experiments import cli
from samplernn_jax.jobs.options.import_checkpoint import ImportOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Imports, then says what there is; gives the exit code."""
    return cli.main(argv, __doc__, cli.options(ImportOptions), _import)


def _import(options: ImportOptions) -> None:
    from samplernn_jax.jobs.import_checkpoint import import_checkpoint

    model = import_checkpoint(options)
    path = options.workdir
    print(
        f"""Imported {model}
The file does not say q_type and sample rate: they are {model.q_type} and {options.sample_rate} Hz,
as --q_type and --sample_rate say.
Go on with
  python -m experiments.sample --workdir={path} --output={path}/samples
  python -m experiments.evaluate --workdir={path} --data_path=DATASET
  python -m experiments.train --config=RECIPE --workdir={path} --config.data.path=DATASET"""
    )


if __name__ == "__main__":
    cli.run(main)
