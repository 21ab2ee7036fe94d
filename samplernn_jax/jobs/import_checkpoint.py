"""Turning another implementation's checkpoint into a workdir."""

from pathlib import Path

from samplernn_jax.config import ArchitectureConfig, DataConfig, ExperimentConfig
from samplernn_jax.interop import theano
from samplernn_jax.jobs.options.import_checkpoint import ImportOptions
from samplernn_jax.runs.checkpoint import save_imported
from samplernn_jax.runs.workdir import RunInfo, Workdir
from samplernn_jax.storage import check_folder, new_folder


def import_checkpoint(options: ImportOptions) -> ArchitectureConfig:
    """Makes the workdir, and returns the model's configuration.

    Raises:
        ValueError: the checkpoint cannot be read or does not fit the options, or `workdir` exists
            already.
        OSError: the workdir cannot be written.
    """
    path = Path(options.workdir)
    check_folder("workdir", path)
    model, params = theano.load(
        options.path, options.q_type, options.independent_preds, options.learn_h0
    )
    top = model.top_frame_size
    data = DataConfig(seq_len=top * max(1, DataConfig.seq_len // top))
    config = ExperimentConfig(model=model, data=data)
    with new_folder(path) as folder:
        workdir = Workdir(folder)
        workdir.write_info(RunInfo(config, options.sample_rate, dataset_digest="", imported=True))
        save_imported(workdir, params)
    return model
