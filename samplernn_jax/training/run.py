"""Training runs: the configuration is checked, files are opened, then the loop trains."""

import dataclasses
import itertools
import math
import tempfile
from pathlib import Path

from jax.sharding import Mesh

from samplernn_jax.checks import require
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.excerpts import first_segments, spread_evenly
from samplernn_jax.data.opening import open_dataset
from samplernn_jax.devices import check_batch_size, make_mesh, memory_of_device
from samplernn_jax.interruption import Request
from samplernn_jax.preparation import synthetic
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.processes import (
    is_first_process,
    processes_without,
    text_from_first_process,
    wait_for_all,
)
from samplernn_jax.runs.checkpoint import Checkpoints
from samplernn_jax.runs.claim import claimed
from samplernn_jax.runs.integrity import recover
from samplernn_jax.runs.workdir import RunInfo, Workdir
from samplernn_jax.sampling.output import check_size
from samplernn_jax.sizes import check_generation, check_training
from samplernn_jax.storage import check_folder, exists
from samplernn_jax.training import plan, plan_table
from samplernn_jax.training.logbook import Report
from samplernn_jax.training.loop import Trainer


def train(
    config: ExperimentConfig, workdir: Path, report: Report, from_step: int | None = None
) -> None:
    """Trains in a workdir; goes on exactly where a stopped run with the same config ended.

    Every process of a run calls this with the same arguments; all of them must see the folders of
    the workdir and the dataset.

    Args:
        config: the experiment.
        workdir: the folder of the run; made if needed.
        report: receives the lines for the user, in the first process only.
        from_step: the checkpoint to go on from; later ones are removed. None for the latest.

    Raises:
        ValueError: the configuration does not fit the devices, the dataset or the run in the
            workdir, another run holds the workdir, the disk is full, or the training has diverged.
        Interrupted: a signal or the time limit stopped the run, which is saved.
    """
    request = Request(config.train.max_hours * 3600 or math.inf)
    check_folder("workdir", workdir)
    mesh = make_mesh()
    check_batch_size(mesh, config.data.batch_size, config.parallel.microbatches)
    check_training(config, mesh.size, memory_of_device(mesh))
    config = _with_absolute_data_path(config)
    if not is_first_process():
        report = _silently
    run = Workdir(workdir)
    with claimed(run):
        dataset = _open(config, run, mesh, report)
        for line in plan.describe(config, dataset, mesh):
            report(line)
        if is_first_process():
            recover(run, report)
        wait_for_all("the checkpoints are sound")
        with Checkpoints(run, config.train) as checkpoints:
            trainer = Trainer(config, dataset, mesh, checkpoints, report, request)
            trainer.run(run, from_step)


def _open(config: ExperimentConfig, workdir: Workdir, mesh: Mesh, report: Report) -> Dataset:
    """Opens the dataset of the run, and makes the workdir describe the run.

    Raises:
        ValueError: the run in the workdir does not fit the configuration or the dataset.
    """
    workdir.check_same_config(config)
    imported = workdir.imported_model is not None
    valid_segments = workdir.read_info().valid_segments if workdir.was_trained else 0
    data_path = workdir.data_path(config)
    if not config.data.path and is_first_process():
        _synthesise(config, data_path, report)
    wait_for_all("the corpus is there")
    dataset = open_dataset(data_path, config.data)
    _check_same_everywhere(data_path, dataset)
    workdir.check_same_dataset(dataset.sample_rate_hz, dataset.digest)
    _check_samples(config, workdir, dataset, memory_of_device(mesh))
    if is_first_process():
        workdir.write_info(
            RunInfo(config, dataset.sample_rate_hz, dataset.digest, imported, valid_segments)
        )
    if valid_segments:
        report(
            "This run began before train.valid_s was added: it still validates on the first "
            f"{valid_segments} segments of each row, so that its validations stay comparable."
        )
    return _with_what_is_validated(dataset, config, valid_segments)


def _check_same_everywhere(path: Path, dataset: Dataset) -> None:
    others = processes_without(dataset.digest == text_from_first_process(dataset.digest))
    require(
        not others,
        f"data.path={path}: must be the same dataset for all processes, but process "
        f"{', '.join(map(str, others))} sees a different one from process 0",
    )


def print_plan(config: ExperimentConfig, report: Report) -> None:
    """Reports the memory and time of training at several batch sizes, without training.

    Raises:
        ValueError: the configuration does not fit the devices or the dataset.
    """
    mesh = make_mesh()
    check_batch_size(mesh, config.data.batch_size, config.parallel.microbatches)
    check_training(config, mesh.size, memory_of_device(mesh))
    if not is_first_process():
        report = _silently
    with tempfile.TemporaryDirectory() as folder:
        data_path = Workdir(Path(folder)).data_path(config)
        if not config.data.path:
            _synthesise(config, data_path, report)
        dataset = open_dataset(data_path, config.data)
        dataset = _with_what_is_validated(dataset, config)
        for line in itertools.chain(
            plan.describe(config, dataset, mesh), plan_table.table(config, dataset, mesh)
        ):
            report(line)


def _silently(line: str) -> None:
    del line


def _with_absolute_data_path(config: ExperimentConfig) -> ExperimentConfig:
    if not config.data.path:
        return config
    data = dataclasses.replace(config.data, path=str(Path(config.data.path).absolute()))
    return dataclasses.replace(config, data=data)


def _with_what_is_validated(
    dataset: Dataset, config: ExperimentConfig, valid_segments: int = 0
) -> Dataset:
    """Returns the dataset with only the part of its valid split that validation reads."""
    valid, rate = dataset.splits["valid"], dataset.sample_rate_hz
    if valid_segments:
        read = first_segments(valid, config, valid_segments)
    else:
        read = spread_evenly(valid, rate, config.train.valid_s)
    return dataclasses.replace(dataset, splits={**dataset.splits, "valid": read})


def _synthesise(config: ExperimentConfig, path: Path, report: Report) -> None:
    """Makes the synthetic corpus of a run without recordings, if it does not exist."""
    if exists(path):
        return
    report(f"Synthesising {config.data.synthetic_minutes:g} minutes of plucked strings.")
    build_dataset(
        synthetic.melodies(config.data.synthetic_minutes, config.seed),
        path,
        BuildSettings(
            sample_rate_hz=synthetic.SAMPLE_RATE_HZ,
            clip_s=synthetic.MELODY_S,
            remove_dc=False,  # it would make equal notes in two melodies differ
        ),
    )


def _check_samples(
    config: ExperimentConfig, workdir: Workdir, dataset: Dataset, limit_bytes: int | None
) -> None:
    """Raises ValueError if the audio to generate is empty, or does not fit on the disk."""
    sample, rate, shortest_s = config.sample, dataset.sample_rate_hz, 1 / dataset.sample_rate_hz
    require(
        sample.duration_s >= shortest_s,
        f"sample.duration_s={sample.duration_s}: must be at least one sample, {shortest_s:g}",
    )
    num_samples = round(sample.duration_s * rate)
    check_size(workdir.path, sample.num_sequences, num_samples, rate, "wav16", normalize=False)
    check_generation(config.model, sample.num_sequences, num_samples, limit_bytes)
