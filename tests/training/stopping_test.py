import dataclasses
import math

import pytest

from samplernn_jax.config import ParallelConfig, TrainConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.training import stopping
from tests.training.runs import make_config, make_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.open(make_dataset(tmp_path_factory.mktemp("data") / "tones"))


def with_train(**values):
    config = make_config("unused")
    values = {"num_steps": 1000, **values}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))


def test_an_epoch_has_as_many_targets_as_there_are_samples_to_train_on(dataset):
    config = make_config("unused")
    steps = stopping.steps_per_epoch(config.data, dataset)
    assert steps * config.data.batch_size * config.data.seq_len == pytest.approx(
        dataset.splits["train"].num_samples
    )


def test_the_earlier_of_steps_and_epochs_ends_a_run(dataset):
    per_epoch = stopping.steps_per_epoch(with_train().data, dataset)
    assert 70 < per_epoch < 80
    assert stopping.last_step(with_train(), dataset) == 1000
    for num_epochs, last in ((2.0, math.ceil(2 * per_epoch)), (0.1, 8), (1000.0, 1000)):
        assert stopping.last_step(with_train(num_epochs=num_epochs), dataset) == last


def test_several_steps_per_call_end_with_a_call(dataset):
    config = dataclasses.replace(
        with_train(num_epochs=0.3, valid_every=10, log_every=10),
        parallel=ParallelConfig(steps_per_call=10),
    )
    assert stopping.last_step(config, dataset) == 30


@pytest.mark.parametrize(
    ("patience", "step", "expected"), [(0, 1000, False), (2, 15, False), (2, 16, True)]
)
def test_patience_counts_validations_since_the_best(patience, step, expected):
    config = with_train(patience=patience, valid_every=3)
    assert stopping.is_out_of_patience(config, step, best_step=10) is expected


@pytest.mark.parametrize(
    ("name", "value"), [("num_epochs", -1.0), ("max_hours", -0.5), ("patience", -1)]
)
def test_limits_are_not_negative(name, value):
    with pytest.raises(ValueError, match=rf"{name}={value}: must be at least 0"):
        TrainConfig(**{name: value})
