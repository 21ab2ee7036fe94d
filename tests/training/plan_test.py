import dataclasses

import jax
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig, ParallelConfig, TrainConfig
from samplernn_jax.devices import make_mesh
from samplernn_jax.evaluation.validation import compile_eval_step
from samplernn_jax.training import plan
from samplernn_jax.training.run import train
from samplernn_jax.training.step import map_train_step
from tests.tiny_models import TINY_WAVENET, random_params
from tests.training.runs import make_config


def cost(config, num_devices=1):
    mesh = make_mesh(jax.devices()[:num_devices])
    steps = map_train_step(config, mesh), compile_eval_step(config, mesh)
    return plan.cost_of_call(*steps, config, mesh)


def with_data(config, **values):
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **values))


@pytest.mark.parametrize("kind", ["shard_map", pytest.param("pmap", marks=pytest.mark.slow)])
def test_memory_is_that_of_the_batch_on_each_device(kind):
    config = make_config("unused", parallel=ParallelConfig(map=kind))
    one = cost(config)
    assert one.memory_bytes > 3 * 4 * 1640  # parameters, and two moments of each
    assert cost(config, num_devices=8).memory_bytes < one.memory_bytes
    assert 2**30 < one.limit_bytes < 2**50
    assert one.missing_bytes == 0


@pytest.mark.slow
def test_microbatches_take_less_memory():
    config = with_data(make_config("unused"), batch_size=64, seq_len=160)
    parts = dataclasses.replace(config, parallel=ParallelConfig(microbatches=8))
    whole, in_parts = cost(config), cost(parts)
    assert in_parts.training_bytes < whole.training_bytes / 3
    assert in_parts.evaluation_bytes < whole.evaluation_bytes / 3


def test_evaluation_is_planned_with_the_state_that_waits_for_it():
    config = make_config("unused")
    without, with_moments = (
        cost(dataclasses.replace(config, optimizer=OptimizerConfig(ema_decay=decay)))
        for decay in (0.0, 0.9)
    )
    assert without.evaluation_bytes > 3 * 4 * 1640  # parameters, and two moments of each
    assert with_moments.evaluation_bytes - without.evaluation_bytes == 4 * 1640


@pytest.mark.parametrize(
    ("training_gib", "evaluation_gib", "step"), [(5, 4, "a training"), (4, 5, "an evaluation")]
)
def test_what_does_not_fit_is_refused_with_what_to_change(training_gib, evaluation_gib, step):
    config, mesh = make_config("unused"), make_mesh(jax.devices()[:2])
    short = plan.Cost(training_gib * 2**30, evaluation_gib * 2**30, 3 * 2**30, compile_s=0.1)
    assert short.missing_bytes == 2 * 2**30
    message = f"data.batch_size=8: {step} step takes 5.0 GiB on each device, 2.0 GiB more than it "
    with pytest.raises(ValueError, match=message + r"has; raise parallel.microbatches \(now 1\)"):
        plan.check_memory(short, config, mesh)
    in_single_rows = dataclasses.replace(config, parallel=ParallelConfig(microbatches=4))
    with pytest.raises(ValueError, match=message + "has; lower data.batch_size, data.seq_len"):
        plan.check_memory(short, in_single_rows, mesh)
    plan.check_memory(short._replace(limit_bytes=None), config, mesh)


def test_the_line_of_what_steps_take_has_both():
    line = plan.describe_cost(plan.Cost(2**30, 2**20, 2**31, compile_s=3.2))
    assert line == (
        "A training step takes 1.0 GiB of 2.0 GiB on each device, an evaluation step 1 MiB; "
        "compiled in 3 s."
    )


def test_a_run_that_does_not_fit_is_refused_before_the_first_step(data_path, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "memory_of_device", lambda mesh: 2**15)
    with pytest.raises(ValueError, match="KiB more than it has"):
        train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_running_out_of_memory_is_one_sentence(data_path, tmp_path, monkeypatch):
    def run_out(*_):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12345 bytes.\nmore"
        )

    monkeypatch.setattr("samplernn_jax.training.loop.Window.add", run_out)
    with pytest.raises(
        ValueError, match=r"ran out of memory \(.* allocate 12345 bytes.\); raise parallel.micro"
    ) as error:
        train(with_data(make_config(data_path), batch_size=16), tmp_path / "run", lambda _: None)
    assert "\n" not in str(error.value)


def test_parameters_are_counted_by_tier():
    config = make_config("unused").model
    counts = plan.count_parameters(random_params(config))
    assert list(counts) == ["tier_1", "tier_2", "tier_3"]
    total = sum(np.size(leaf) for leaf in jax.tree.leaves(random_params(config)))
    assert sum(counts.values()) == total


@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_random_segments_have_the_shape_of_real_ones(data_path, steps_per_call):
    config = make_config(
        data_path,
        model=TINY_WAVENET,
        train=TrainConfig(num_steps=3, log_every=3, valid_every=3),
        parallel=ParallelConfig(steps_per_call=steps_per_call),
    )
    segment = plan.random_segment(config, 4)
    steps = (4,) if steps_per_call == 1 else (4, 3)
    assert segment.tokens.shape == (*steps, TINY_WAVENET.overlap + 16)
    assert segment.reset.shape == segment.mask.shape == (*steps, 16)
