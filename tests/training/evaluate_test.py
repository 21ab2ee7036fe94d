import dataclasses

import jax
import numpy as np
import pytest

from samplernn_jax.config import DataConfig, ParallelConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.parallel import make_mesh, replicate
from samplernn_jax.training.evaluate import compile_eval_step, evaluate
from samplernn_jax.training.step import parts_of_rows
from tests.models import TINY, random_params
from tests.training.runs import make_config, make_dataset


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return Dataset.open(make_dataset(tmp_path_factory.mktemp("data") / "tones")).splits["test"]


def result(split, num_devices=1, microbatches=1, **data):
    mesh = make_mesh(jax.devices()[:num_devices])
    config = make_config(
        "unused",
        data=DataConfig("unused", **data),
        parallel=ParallelConfig(microbatches=microbatches),
    )
    params = replicate(mesh, random_params(TINY))
    return evaluate(compile_eval_step(config, mesh), config, mesh, params, split)


def test_the_bits_do_not_depend_on_batches_segments_and_devices(split):
    one = result(split, batch_size=1, seq_len=64)
    eight = result(split, num_devices=8, batch_size=16, seq_len=16)
    assert one.num_samples == eight.num_samples == split.num_samples
    assert eight.bits_per_sample == pytest.approx(one.bits_per_sample, rel=2e-7)
    in_parts = result(split, microbatches=4, batch_size=15, seq_len=16)  # 5 parts of 3 rows
    assert in_parts.num_samples == one.num_samples
    assert in_parts.bits_per_sample == pytest.approx(one.bits_per_sample, rel=2e-7)


@pytest.mark.parametrize(
    ("num_rows", "microbatches", "num_parts"),
    [(8, 1, 1), (8, 4, 4), (12, 5, 6), (7, 2, 7), (3, 8, 3), (1, 1, 1)],
)
def test_no_more_rows_are_evaluated_at_once_than_microbatches_allow(
    num_rows, microbatches, num_parts
):
    assert parts_of_rows(num_rows, microbatches) == num_parts


def test_the_mean_of_batches_gives_every_batch_the_same_weight(split):
    """With batch sums that are known instead of a model's."""
    totals = iter([300.0, 10.0, 0.0])
    counts = iter([100, 2, 0])

    def eval_step(params, carry, segment):
        return {"total_bits": next(totals), "num_targets": next(counts)}, carry

    eval_step.lower = eval_step  # as every step has
    config = dataclasses.replace(make_config("unused"), data=DataConfig("x", batch_size=1))
    mesh = make_mesh(jax.devices()[:1])
    params = replicate(mesh, random_params(TINY))
    short = dataclasses.replace(split, lengths=np.array([3 * 512]))
    known = evaluate(eval_step, config, mesh, params, short, max_segments=3)
    assert known.bits_per_sample == pytest.approx(310 / 102)
    assert known.mean_of_batches == pytest.approx((300 / 100 + 10 / 2) / 2)
