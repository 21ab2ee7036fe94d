import dataclasses
import re

import jax
import numpy as np
import pytest

from samplernn_jax.config import DataConfig, ParallelConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.excerpts import spread_evenly
from samplernn_jax.data.opening import open_dataset
from samplernn_jax.data.segments import evaluation_segments
from samplernn_jax.devices import make_mesh, replicate
from samplernn_jax.evaluation.step import parts_of_rows
from samplernn_jax.evaluation.validation import compile_eval_step, evaluate
from samplernn_jax.models.teacher_forcing import Rows
from tests.tiny_models import TINY, random_params
from tests.training.runs import RATE, make_config, make_dataset


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


def test_a_part_of_the_split_has_the_same_bits_whatever_the_batch(split):
    part = spread_evenly(split, RATE, 1.0)
    assert part.num_samples < split.num_samples
    one = result(part, batch_size=1, seq_len=64)
    for num_devices, batch_size, seq_len in ((1, 8, 16), (8, 32, 16), (2, 4, 32)):
        other = result(part, num_devices, batch_size=batch_size, seq_len=seq_len)
        assert other.num_samples == one.num_samples == part.num_samples
        assert other.bits_per_sample == pytest.approx(one.bits_per_sample, rel=2e-7)


def test_a_part_of_the_originals_files_is_evaluated(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train", "valid", "test"):
        np.save(tmp_path / f"music_{name}.npy", rng.normal(0, 0.1, (9, 800)).astype(np.float16))
    config = DataConfig(str(tmp_path), "legacy", batch_size=4, seq_len=16)
    part = spread_evenly(open_dataset(tmp_path, config).splits["valid"], 200, 8.0)
    assert part.num_samples == 1600
    results = [result(part, batch_size=rows, seq_len=16) for rows in (1, 4)]
    assert results[0].num_samples == 1600
    assert results[1].bits_per_sample == pytest.approx(results[0].bits_per_sample, rel=2e-7)


def test_the_mean_of_batches_gives_every_batch_the_same_weight(split):
    """With batch sums that are known instead of a model's."""
    totals = iter([300.0, 10.0, 0.0])
    counts = iter([100, 2, 0])

    def eval_step(params, carry, segment):
        return {"total_bits": next(totals), "num_targets": next(counts)}, Rows(carry)

    eval_step.lower = eval_step  # as every step has
    config = dataclasses.replace(make_config("unused"), data=DataConfig("x", batch_size=1))
    mesh = make_mesh(jax.devices()[:1])
    params = replicate(mesh, random_params(TINY))
    short = dataclasses.replace(split, lengths=np.array([3 * 512]))
    known = evaluate(eval_step, config, mesh, params, short)
    assert known.bits_per_sample == pytest.approx(310 / 102)
    assert known.mean_of_batches == pytest.approx((300 / 100 + 10 / 2) / 2)


def test_what_takes_long_says_how_far_it_is_on_stderr_alone(split, monkeypatch, capsys):
    monkeypatch.setattr("samplernn_jax.progress.LINE_EVERY_S", 0.0)
    result(split, batch_size=2, seq_len=64)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == len(list(evaluation_segments(split, 2, 64, TINY)))
    assert re.fullmatch(
        r"evaluating test: [0-9,]+ of [0-9,]+ samples \([0-9]+%\), .* left", lines[0]
    )
    assert f"{split.num_samples:,} of {split.num_samples:,} samples (100%), 00:00 left" in lines[-1]
