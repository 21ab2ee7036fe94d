"""Makes a workdir out of another implementation's checkpoint.

    python -m experiments.import_checkpoint --source=theano --path=params.pkl --workdir=runs/old

The model's shape is read off the checkpoint. Then `evaluate` (with --data_path), `sample` and
`train` take the workdir like one of their own; `train` goes on training the imported model, with
everything but the model's shape from the recipe. Nothing in the file is run: a pickle that names
anything but arrays is refused.
"""

from pathlib import Path

from absl import flags

from experiments import cli
from samplernn_jax.config import DataConfig, ExperimentConfig
from samplernn_jax.interop import theano
from samplernn_jax.models.options import Q_TYPES
from samplernn_jax.runs.checkpoint import save_imported
from samplernn_jax.runs.workdir import RunInfo, Workdir
from samplernn_jax.storage import check_folder, new_folder

_SOURCE = flags.DEFINE_enum(
    "source", None, ["theano"], "Which implementation: theano is the original.", required=True
)
_PATH = flags.DEFINE_string("path", None, "The checkpoint.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder that is made.", required=True)
_Q_TYPE = flags.DEFINE_enum(
    "q_type", "linear", Q_TYPES, "Quantization that the model was trained with."
)
_SAMPLE_RATE = flags.DEFINE_integer(
    "sample_rate", 16_000, "Sample rate of the audio in Hz.", lower_bound=1
)
_INDEPENDENT_PREDS = flags.DEFINE_bool(
    "independent_preds", False, "Keep the independent predictions of the original's top tier."
)
_LEARN_H0 = flags.DEFINE_bool(
    "learn_h0", None, "Whether further training changes h0. Default: if it is not zero."
)


def main() -> None:
    """Imports, then says what there is."""
    cli.check_paths("path", "workdir")
    check_folder("workdir", Path(_WORKDIR.value))
    model, params = theano.load(
        _PATH.value, _Q_TYPE.value, _INDEPENDENT_PREDS.value, _LEARN_H0.value
    )
    top = model.top_frame_size
    data = DataConfig(seq_len=top * max(1, DataConfig.seq_len // top))
    config = ExperimentConfig(model=model, data=data)
    with new_folder(Path(_WORKDIR.value)) as folder:
        workdir = Workdir(folder)
        workdir.write_info(RunInfo(config, _SAMPLE_RATE.value, dataset_digest="", imported=True))
        save_imported(workdir, params)
    path = _WORKDIR.value
    print(
        f"""Imported {model}
The file does not tell q_type and sample rate: taken for {model.q_type} and {_SAMPLE_RATE.value} Hz,
as --q_type and --sample_rate say.
Go on with
  python -m experiments.sample --workdir={path} --output={path}/samples
  python -m experiments.evaluate --workdir={path} --data_path=DATASET
  python -m experiments.train --config=RECIPE --workdir={path} --config.data.path=DATASET"""
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
