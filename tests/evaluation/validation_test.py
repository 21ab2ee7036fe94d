"""What a run validates on: the same audio whatever the batch, and until its end."""

import contextlib
import dataclasses
import itertools
import json
import re
from pathlib import Path

import jax
import pytest

from samplernn_jax.config import OptimizerConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.excerpts import spread_evenly
from samplernn_jax.data.segments import evaluation_segments
from samplernn_jax.devices import make_mesh, replicate, shard_rows
from samplernn_jax.evaluation.baselines import baselines, bigram_counts
from samplernn_jax.evaluation.validation import compile_eval_step
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.runs.checkpoint import restore_params
from samplernn_jax.runs.metrics import read_metrics
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.training.run import train
from tests.tiny_models import TINY
from tests.training.runs import RATE, make_config


def run(config, path):
    lines = []
    train(config, path, lines.append)
    return lines


def valid_bits(path):
    return [e["valid_bits"] for e in read_metrics(Workdir(path)) if "valid_bits" in e]


def with_train(config, **changes):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


@pytest.mark.slow
def test_equal_models_have_equal_bits_whatever_the_batch(data_path, tmp_path):
    still = OptimizerConfig(learning_rate=1e-12)
    bits = []
    for rows, seq_len in ((8, 16), (32, 8)):
        config = make_config(data_path, num_steps=1, optimizer=still)
        data = dataclasses.replace(config.data, batch_size=rows, seq_len=seq_len)
        run(dataclasses.replace(config, data=data), tmp_path / str(rows))
        bits.extend(valid_bits(tmp_path / str(rows)))
    assert bits[0] == pytest.approx(bits[1], rel=2e-7)


def test_the_lines_compare_like_with_like(data_path, tmp_path):
    """The baselines are those of the audio that is validated, be it a part or all."""
    splits = Dataset.open(data_path).splits
    counts, told = bigram_counts(splits["train"], TINY), []
    for seconds in (0.3, 0.0):
        config = with_train(make_config(data_path, num_steps=1), valid_s=seconds)
        lines = run(config, tmp_path / str(seconds))
        found = {
            re.findall(r"histogram ([0-9.]+[0-9]), bigram ([0-9.]+[0-9])", x)[0]
            for x in lines
            if "histogram" in x
        }
        read = spread_evenly(splits["valid"], RATE, seconds)
        assert found == {tuple(f"{bits:.3f}" for bits in baselines(counts, read, TINY))}
        told.append(found)
    assert told[0] != told[1]


def test_a_run_validates_on_the_same_audio_until_its_end(data_path, tmp_path):
    config = make_config(data_path, num_steps=3)
    run(config, tmp_path / "run")
    for seconds in (0.0, 1.0):
        with pytest.raises(ValueError, match=rf"train.valid_s={seconds}: .* train.valid_s=0.5"):
            run(with_train(config, num_steps=6, valid_s=seconds), tmp_path / "run")


def as_before(path, valid_segments):
    """Makes a workdir what it was before `valid_s`."""
    file = Workdir(path).config_file
    content = json.loads(file.read_text())
    del content["valid_segments"], content["config"]["train"]["valid_s"]
    content["config"]["train"]["valid_segments"] = valid_segments
    file.write_text(json.dumps(content))


def bits_of_first_segments(path, config, step, count):
    """Evaluated as it was before `valid_s`."""
    mesh = make_mesh()
    params = jax.device_get(restore_params(Workdir(path), config.model, step)[1])
    data, split = config.data, Dataset.open(Path(config.data.path)).splits["valid"]
    segments = evaluation_segments(split, data.batch_size, data.seq_len, config.model)
    carry = shard_rows(mesh, initial_carry(config.model, params, data.batch_size))
    eval_step, bits, targets = compile_eval_step(config, mesh), 0.0, 0
    with contextlib.closing(segments):
        for segment in itertools.islice(segments, count):
            sums, rows = eval_step(replicate(mesh, params), carry, shard_rows(mesh, segment))
            carry = rows.carry
            bits, targets = bits + float(sums["total_bits"]), targets + int(sums["num_targets"])
    return bits / targets


@pytest.mark.slow
def test_a_run_of_before_goes_on_with_what_it_validated_on(data_path, tmp_path):
    config, path = make_config(data_path, num_steps=3), tmp_path / "run"
    run(with_train(config, valid_s=0.0), path)
    as_before(path, valid_segments=4)
    Generator.from_workdir(path).generate(jax.random.key(0), 1, 0.02)
    for num_steps in (6, 9):  # it is told of by the workdir's own new config then
        lines = run(with_train(config, num_steps=num_steps), path)
        assert any("still validates on the first 4 segments of each row" in x for x in lines)
        expected = bits_of_first_segments(path, config, num_steps, count=4)
        assert valid_bits(path)[-1] == pytest.approx(expected, rel=2e-7)
    assert len(valid_bits(path)) == 3


@pytest.mark.slow
def test_a_run_of_before_that_validated_on_all_goes_on_so(data_path, tmp_path):
    config, path = make_config(data_path, num_steps=3), tmp_path / "run"
    run(with_train(config, valid_s=0.0), path)
    as_before(path, valid_segments=0)
    with pytest.raises(ValueError, match=r"train.valid_s=0.5: .* train.valid_s=0.0"):
        run(with_train(config, num_steps=6), path)
    lines = run(with_train(config, num_steps=6, valid_s=0.0), path)
    assert not any("first" in x and "segments of each row" in x for x in lines)
