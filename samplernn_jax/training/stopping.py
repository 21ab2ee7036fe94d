"""The end of a run: after its steps or epochs, or when validation no longer improves."""

import math

from samplernn_jax.config import DataConfig, ExperimentConfig
from samplernn_jax.data.dataset import Dataset


def steps_per_epoch(config: DataConfig, dataset: Dataset) -> float:
    """Returns the steps that fill the training split, not counting padding between clips."""
    return dataset.splits["train"].num_samples / (config.batch_size * config.seq_len)


def last_step(config: ExperimentConfig, dataset: Dataset) -> int:
    """Returns the last step of the run, by num_steps, or by num_epochs if that is earlier."""
    train = config.train
    if train.num_epochs == 0:
        return train.num_steps
    at_once = config.parallel.steps_per_call
    calls = math.ceil(train.num_epochs * steps_per_epoch(config.data, dataset) / at_once)
    return min(train.num_steps, calls * at_once)


def is_out_of_patience(config: ExperimentConfig, step: int, best_step: int) -> bool:
    """Returns whether the last `patience` validations were no better than that of `best_step`."""
    train = config.train
    return train.patience > 0 and step - best_step >= train.patience * train.valid_every
