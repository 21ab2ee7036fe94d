"""A run from its configuration: everything is checked and opened, then the loop trains."""

import dataclasses
import itertools
import math
import tempfile
from pathlib import Path

from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data import synthetic
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.opening import open_dataset
from samplernn_jax.data.preparation.build import build_dataset
from samplernn_jax.data.preparation.settings import BuildSettings
from samplernn_jax.files import check_folder
from samplernn_jax.parallel import (
    check_batch_size,
    is_first_process,
    make_mesh,
    wait_for_all,
)
from samplernn_jax.sampling.output import check_size
from samplernn_jax.sizes import check_generation, check_training
from samplernn_jax.training import plan, stopping
from samplernn_jax.training.checkpoint import Checkpoints, recover
from samplernn_jax.training.interruption import Request
from samplernn_jax.training.logbook import Report
from samplernn_jax.training.loop import Trainer
from samplernn_jax.training.workdir import RunInfo, Workdir


def train(
    config: ExperimentConfig, path: Path, report: Report, from_step: int | None = None
) -> None:
    """Trains in a workdir, and goes on exactly where a stopped run with the same config was.

    Every process of a run calls it with the same arguments; the workdir and the dataset are in
    folders that all of them see.

    Args:
        config: the experiment.
        path: the workdir; made if needed.
        report: gets the lines for the user, in the first process only.
        from_step: go on from this checkpoint and remove the later ones; None for the latest.

    Raises:
        ValueError: the configuration does not fit the devices, the dataset or the run that the
            workdir holds, the disk is full, or the training has diverged.
        Interrupted: a signal, or the time that it was given, ended the run; where it was is saved.
    """
    request = Request(config.train.max_hours * 3600 or math.inf)
    check_folder("workdir", path)
    mesh = make_mesh()
    check_batch_size(mesh, config.data.batch_size, config.parallel.microbatches)
    check_training(config, mesh.size, plan.memory_of_device(mesh))
    config = _with_absolute_data_path(config)
    workdir = Workdir(path)
    workdir.check_same_config(config)
    imported = workdir.imported_model is not None
    if not is_first_process():
        report = _silently
    data_path = workdir.data_path(config)
    if not config.data.path and is_first_process():
        _synthesise(config, data_path, report)
    wait_for_all("the corpus is there")
    dataset = open_dataset(data_path, config.data)
    workdir.check_same_dataset(dataset.sample_rate_hz, dataset.digest)
    _check_samples(config, workdir, dataset, plan.memory_of_device(mesh))
    if is_first_process():
        workdir.write_info(RunInfo(config, dataset.sample_rate_hz, dataset.digest, imported))
    for line in plan.describe(config, dataset, mesh):
        report(line)
        recover(workdir, report)
    wait_for_all("the checkpoints are sound")
    with Checkpoints(workdir, config.train) as checkpoints:
        if from_step is not None:
            last_step = stopping.last_step(config, dataset)
            if from_step >= last_step:
                raise ValueError(
                    f"from_step={from_step}: must be below {last_step}, the last step of the run"
                )
            checkpoints.go_back(from_step)
        Trainer(config, dataset, mesh, checkpoints, report, request).run(workdir)


def print_plan(config: ExperimentConfig, report: Report) -> None:
    """Reports what a training would take, over several batch sizes, without training.

    Raises:
        ValueError: the configuration does not fit the devices or the dataset.
    """
    mesh = make_mesh()
    check_batch_size(mesh, config.data.batch_size, config.parallel.microbatches)
    check_training(config, mesh.size, plan.memory_of_device(mesh))
    if not is_first_process():
        report = _silently
    with tempfile.TemporaryDirectory() as folder:
        data_path = Workdir(Path(folder)).data_path(config)
        if not config.data.path:
            _synthesise(config, data_path, report)
        dataset = open_dataset(data_path, config.data)
        for line in itertools.chain(
            plan.describe(config, dataset, mesh), plan.table(config, dataset, mesh)
        ):
            report(line)


def _silently(line: str) -> None:
    del line


def _with_absolute_data_path(config: ExperimentConfig) -> ExperimentConfig:
    if not config.data.path:
        return config
    data = dataclasses.replace(config.data, path=str(Path(config.data.path).absolute()))
    return dataclasses.replace(config, data=data)


def _synthesise(config: ExperimentConfig, path: Path, report: Report) -> None:
    """Makes the corpus that a run without recordings has, if it is not there."""
    if path.exists():
        return
    report(f"Synthesising {config.data.synthetic_minutes:g} minutes of plucked strings.")
    build_dataset(
        synthetic.melodies(config.data.synthetic_minutes, config.seed),
        path,
        BuildSettings(
            sample_rate_hz=synthetic.SAMPLE_RATE_HZ,
            clip_s=synthetic.MELODY_S,
            remove_dc=False,  # would make equal notes of two melodies unequal
        ),
    )


def _check_samples(
    config: ExperimentConfig, workdir: Workdir, dataset: Dataset, limit_bytes: int | None
) -> None:
    """Raises ValueError where what is to be generated is nothing, or has no room."""
    sample, rate, shortest_s = config.sample, dataset.sample_rate_hz, 1 / dataset.sample_rate_hz
    if sample.duration_s < shortest_s:
        raise ValueError(
            f"sample.duration_s={sample.duration_s}: must be at least one sample, {shortest_s:g}"
        )
    num_samples = round(sample.duration_s * rate)
    check_size(workdir.path, sample.num_sequences, num_samples, rate, "wav16", normalize=False)
    check_generation(config.model, sample.num_sequences, num_samples, limit_bytes)
