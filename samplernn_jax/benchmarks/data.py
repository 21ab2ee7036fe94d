"""The speed of opening and reading a dataset."""

import contextlib
import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.data.dataset import FORMAT_VERSION, SPLITS, Dataset, info_file
from samplernn_jax.data.segments import prefetch, training_segments
from samplernn_jax.preparation import synthetic
from samplernn_jax.preparation.clips import Clip
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.writing import Levels, write_split
from samplernn_jax.storage import new_folder, write_json
from samplernn_jax.units import describe_bytes

_WARM_UP_STEPS = 3


def make_dataset(path: Path, hours: float) -> None:
    """Writes a dataset of any size quickly: one melody repeated, at 16 kHz, in clips of 8 s.

    Raises:
        ValueError: `path` exists, or the disk has too little space.
    """
    settings = BuildSettings()
    needed, free = hours * 3600 * settings.sample_rate_hz * 2, shutil.disk_usage(path.parent).free
    require(
        needed < free,
        f"hours={hours:g}: takes {describe_bytes(needed)}, but only "
        f"{describe_bytes(free)} are free in {path.parent}",
    )
    melody = np.tile(synthetic.melody(np.random.default_rng(0)), 4)[: settings.clip_len]
    num_clips = max(3, round(hours * 3600 / settings.clip_s))
    held_out = max(1, round(settings.held_out * num_clips))
    counts = {"train": num_clips - 2 * held_out, "valid": held_out, "test": held_out}
    levels = Levels()
    with new_folder(path) as folder:
        splits = {
            name: write_split(
                folder,
                name,
                [Clip(0, 0, settings.clip_len)] * counts[name],
                lambda clip: melody,
                levels,
            )
            for name in SPLITS
        }
        info = {
            "version": FORMAT_VERSION,
            "sample_rate_hz": settings.sample_rate_hz,
            "settings": dataclasses.asdict(settings),
            "splits": splits,
        }
        write_json(info_file(folder), info)


def measure(
    path: Path, batch_size: int, seq_len: int, model: ArchitectureConfig, seconds: float
) -> dict[str, Any]:
    """Opens a dataset and reads training segments through the prefetching thread.

    Args:
        path: the folder of the dataset.
        batch_size: the number of rows in a segment.
        seq_len: the number of targets in a segment.
        model: the model whose tokens are read.
        seconds: the duration of reading.

    Returns:
        The hours of audio, seconds to open, samples read per second, and the share of padding.

    Raises:
        ValueError: the folder is not a dataset.
    """
    began = time.perf_counter()
    dataset = Dataset.open(path)
    open_s = time.perf_counter() - began
    segments = prefetch(
        training_segments(dataset.splits["train"], batch_size, seq_len, model, 0, start_step=0)
    )
    num_samples, num_targets = 0, 0
    with contextlib.closing(segments):
        for _ in range(_WARM_UP_STEPS):
            next(segments)
        began = time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            mask = next(segments).mask
            num_samples += int(np.count_nonzero(mask))
            num_targets += mask.size
    total = sum(split.num_samples for split in dataset.splits.values())
    return {
        "hours": total / dataset.sample_rate_hz / 3600,
        "open_s": open_s,
        "samples_per_s": num_samples / elapsed,
        "padding": 1 - num_samples / num_targets,
        "batch_size": batch_size,
        "seq_len": seq_len,
    }
