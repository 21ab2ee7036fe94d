"""Evaluating a trained model: on a split of a dataset, or on any audio."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NotRequired

import jax
import numpy as np
from typing_extensions import TypedDict

from samplernn_jax import audio
from samplernn_jax.checks import require
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.opening import open_dataset
from samplernn_jax.devices import check_batch_size, make_mesh, memory_of_device, replicate
from samplernn_jax.evaluation import scores
from samplernn_jax.evaluation.baselines import baselines, bigram_counts
from samplernn_jax.evaluation.validation import compile_eval_step, evaluate
from samplernn_jax.jobs.options.evaluate import EvaluateOptions
from samplernn_jax.processes import is_first_process
from samplernn_jax.runs.checkpoint import restore_params
from samplernn_jax.runs.workdir import RunInfo, Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sizes import check_evaluation
from samplernn_jax.training.plan import out_of_memory_as_sentence

_DECIMALS = 6
"""Results that depend on neither batch size, segment length nor devices."""


class SplitResult(TypedDict):
    """Bits per sample on a split: the model's, and those of two baselines fitted on train."""

    bits_per_sample: float
    average: str
    num_samples: int
    split: str
    step: int
    histogram_bits: float
    bigram_bits: float
    independent_bits: NotRequired[float]


class FileScore(TypedDict):
    """How likely a file is, as a whole and second by second."""

    file: str
    bits_per_sample: float
    num_samples: int
    bits_over_time: list[float]


class AudioResult(TypedDict):
    """How likely each file is under the model of a step."""

    step: int | None
    bits_over_time_every_s: float
    files: list[FileScore]


def score_audio(options: EvaluateOptions, tell: Callable[[str], None]) -> AudioResult:
    """Scores the files of `audio`.

    Args:
        options: options with `audio`.
        tell: receives notes about the files, a sentence each.

    Raises:
        ValueError: the workdir does not hold the checkpoint, or a file cannot be read.
    """
    generator = Generator.from_workdir(options.workdir, options.step)
    rate, files = generator.sample_rate_hz, list[FileScore]()
    for path in options.audio:
        try:
            heard = audio.read_whole(path, rate)
        except ValueError as error:
            raise ValueError(f"audio={error}") from error
        for note in heard.notes:
            tell(f"note: {path} {note}.")
        waveform = np.float32(options.audio_gain) * heard.waveform
        bits = generator.score(waveform[None])
        files.append(
            {
                "file": path,
                "bits_per_sample": round(float(bits.mean()), _DECIMALS),
                "num_samples": bits.shape[1],
                "bits_over_time": [float(x) for x in scores.means_over_time(bits, rate)[0]],
            }
        )
    return {"step": generator.step, "bits_over_time_every_s": 1.0, "files": files}


def evaluate_split(options: EvaluateOptions, tell: Callable[[str], None]) -> SplitResult | None:
    """Evaluates on a split; of several processes, only the first returns the result.

    Args:
        options: options without `audio`.
        tell: receives a sentence about each part of the work as it begins.

    Raises:
        ValueError: the workdir does not hold the checkpoint, the dataset does not fit the model,
            or the batch does not fit the devices.
    """
    mesh, workdir = make_mesh(), Workdir(Path(options.workdir))
    info = workdir.read_info()
    config = _as_asked(options, info, workdir)
    check_batch_size(mesh, config.data.batch_size)
    check_evaluation(config, mesh.size, memory_of_device(mesh))
    dataset = _open(options, info, workdir, config)
    split = dataset.splits[options.split]
    step, params = restore_params(workdir, config.model, options.step)
    tell(
        f"Evaluating step {step} of {workdir.path} on {split.name}, {split.num_samples:,} samples."
    )
    eval_step = compile_eval_step(config, mesh)
    with out_of_memory_as_sentence(config, mesh):
        result = evaluate(eval_step, config, mesh, replicate(mesh, jax.device_get(params)), split)
    if not is_first_process():
        return None
    counts = bigram_counts(dataset.splits["train"], config.model)
    without_model = baselines(counts, split, config.model)
    mean = result.bits_per_sample if options.average == "samples" else result.mean_of_batches
    values: SplitResult = {
        "bits_per_sample": round(mean, _DECIMALS),
        "average": options.average,
        "num_samples": result.num_samples,
        "split": split.name,
        "step": step,
        "histogram_bits": without_model.histogram_bits,
        "bigram_bits": without_model.bigram_bits,
    }
    if result.independent_bits is not None:
        values["independent_bits"] = round(result.independent_bits, _DECIMALS)
    return values


def _as_asked(options: EvaluateOptions, info: RunInfo, workdir: Workdir) -> ExperimentConfig:
    """Returns the run's configuration, with the values that the options set."""
    require(
        bool(info.dataset_digest or options.data_path),
        f"data_path='': must name a dataset, as the imported model in workdir {workdir.path} "
        "was not trained here",
    )
    asked: dict[str, Any] = {
        "path": options.data_path,
        "batch_size": options.batch_size,
        "seq_len": options.seq_len,
        "normalization": options.normalization,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return dataclasses.replace(info.config, data=dataclasses.replace(info.config.data, **given))


def _open(
    options: EvaluateOptions, info: RunInfo, workdir: Workdir, config: ExperimentConfig
) -> Dataset:
    """Returns the dataset, if the model can be evaluated on it."""
    path = workdir.data_path(config)
    dataset = open_dataset(path, config.data)
    require(
        dataset.sample_rate_hz == info.sample_rate_hz,
        f"data_path={path}: is at {dataset.sample_rate_hz} Hz, but must be at the model's "
        f"{info.sample_rate_hz} Hz",
    )
    if options.data_path is None and options.normalization is None:
        workdir.check_same_dataset(dataset.sample_rate_hz, dataset.digest)
    return dataset
