"""Tiny training runs that many tests share."""

import dataclasses

import numpy as np

from samplernn_jax.config import (
    DataConfig,
    ExperimentConfig,
    ParallelConfig,
    SampleConfig,
    TrainConfig,
)
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.recordings import Found, of_waveform
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.runs.checkpoint import restore_params
from samplernn_jax.runs.metrics import read_metrics
from samplernn_jax.runs.workdir import Workdir
from tests.tiny_models import TINY

RATE = 1000


def make_dataset(path, clip_s=0.3):
    """Two tones of unequal lengths, 1 kHz, in clips."""
    recordings = []
    for number in range(12):
        seconds = np.arange(500 + 111 * number) / RATE
        tone = 0.7 * np.sin(2 * np.pi * (50 + 30 * (number % 2)) * seconds)
        recordings.append(of_waveform(f"tone{number}", tone.astype(np.float32), RATE))
    build_dataset(Found(recordings), path, BuildSettings(sample_rate_hz=RATE, clip_s=clip_s))
    return path


def make_config(data_path, num_steps=6, **changes):
    config = ExperimentConfig(
        model=TINY,
        data=DataConfig(path=str(data_path), batch_size=8, seq_len=16),
        train=TrainConfig(num_steps=num_steps, log_every=1, valid_every=3, valid_s=0.5),
        sample=SampleConfig(num_sequences=2, duration_s=0.1),
        parallel=ParallelConfig(),
    )
    return dataclasses.replace(config, **changes)


def entries(path):
    """The metrics log without the clock."""
    return [
        {name: value for name, value in entry.items() if not name.endswith("per_s")}
        for entry in read_metrics(Workdir(path))
    ]


def all_params(path):
    return restore_params(Workdir(path), TINY, step=6)[1]


def wavs(path):
    return [file.read_bytes() for file in sorted((path / "samples").rglob("*.wav"))]
