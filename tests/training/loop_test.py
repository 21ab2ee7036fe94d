import dataclasses
import errno
import os
import shutil

import jax
import numpy as np
import pytest
import soundfile

from samplernn_jax.config import DataConfig, ModelConfig, OptimizerConfig, ParallelConfig
from samplernn_jax.evaluation.validation import Evaluation
from samplernn_jax.runs.checkpoint import restore_params
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.training.run import train
from tests.tiny_models import TINY
from tests.training.runs import RATE, all_params, entries, make_config, make_dataset


def test_a_run_leaves_all_that_a_user_looks_for(finished):
    path, lines = finished
    assert sorted(file.name for file in path.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "learning_curve.png",
        "metrics.jsonl",
        "samples",
        "tensorboard",
        "validations.json",
    ]
    folder = path / "samples" / "step_0000006"
    assert sorted(file.suffix for file in folder.iterdir()) == [".png", ".png", ".wav", ".wav"]
    assert soundfile.info(next(folder.glob("*.wav"))).frames == 0.1 * RATE
    assert {tuple(sorted(entry)) for entry in entries(path)} == {
        ("grad_norm", "step", "train_bits"),
        ("step", "valid_bits"),
    }
    assert list((path / "tensorboard").iterdir())
    assert "1,640 parameters (tier_1 456, tier_2 656, tier_3 528) on 8 cpu device(s)" in lines[0]
    assert "75 steps per epoch, and 6 steps are 0.08 epochs" in lines[1]
    assert "KiB of" in lines[2] or "MiB of" in lines[2]
    assert "histogram" in lines[3]
    assert lines[-1].startswith("Generated 2 wavs")


def test_the_checkpoints_are_looked_through_once(data_path, finished, tmp_path, monkeypatch):
    path, _ = finished
    shutil.copytree(path, tmp_path / "run")
    calls = []
    monkeypatch.setattr(
        "samplernn_jax.training.run.recover", lambda *_: calls.append(jax.process_index())
    )
    train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert calls == [0]


@pytest.mark.slow
def test_patience_ends_a_run_that_no_longer_improves(data_path, begun, tmp_path):
    shutil.copytree(begun, tmp_path / "run")
    config = make_config(data_path, optimizer=OptimizerConfig(learning_rate=30.0))
    settings = dataclasses.replace(config.train, num_steps=60, patience=2)
    config = dataclasses.replace(config, train=settings)
    lines = []
    train(config, tmp_path / "run", lines.append)
    assert "Stopped after step 9: validation has not improved on the" in lines[-1]
    assert "of step 3." in lines[-1]
    assert (tmp_path / "run" / "samples" / "step_0000009").is_dir()
    lines.clear()
    train(config, tmp_path / "run", lines.append)
    assert lines[-1].endswith("raise train.patience to go on.")


def test_a_validation_that_stays_the_same_ends_a_run(data_path, tmp_path, monkeypatch):
    config = make_config(data_path)
    settings = dataclasses.replace(config.train, num_steps=60, patience=3, keep_latest=1)
    same = Evaluation(2.0, num_samples=1, mean_of_batches=2.0, independent_bits=None)
    monkeypatch.setattr("samplernn_jax.training.loop.evaluate", lambda *_: same)
    lines = []
    train(dataclasses.replace(config, train=settings), tmp_path / "run", lines.append)
    assert lines[-1].startswith("Stopped after step 12: validation has not improved on the")
    assert lines[-1].endswith("2.000 bits of step 3.")
    assert restore_params(Workdir(tmp_path / "run"), TINY)[0] == 3


def test_epochs_end_a_run(data_path, tmp_path):
    config = make_config(data_path)
    settings = dataclasses.replace(config.train, num_steps=1000, num_epochs=0.05)
    lines = []
    train(dataclasses.replace(config, train=settings), tmp_path / "run", lines.append)
    assert any(line.startswith("step 4/4:") for line in lines)


def test_a_full_disk_is_one_sentence(data_path, tmp_path, monkeypatch):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("samplernn_jax.training.logbook.learning_curve", fill)
    with pytest.raises(ValueError, match=r"workdir=.*run: No space left on device; make room and"):
        train(make_config(data_path), tmp_path / "run", lambda _: None)


def test_a_disk_without_room_for_a_checkpoint_is_told_before_anything_is_trained(
    data_path, tmp_path, monkeypatch
):
    monkeypatch.setattr("samplernn_jax.training.disk.free_bytes", lambda _: 3 * 4 * 1640 - 1)
    monkeypatch.setattr("samplernn_jax.training.run.check_size", lambda *_, **__: "")
    with pytest.raises(ValueError, match=r"run: must have room for a checkpoint, .* 19 KiB"):
        train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_steps_that_are_not_finite_are_reported_and_too_many_end_the_run(
    data_path, begun, tmp_path
):
    path = tmp_path / "run"
    shutil.copytree(begun, path)
    reckless = make_config(data_path, num_steps=40, optimizer=OptimizerConfig(learning_rate=1e38))
    settings = dataclasses.replace(reckless.train, valid_every=40, max_skipped=5)
    lines = []
    with pytest.raises(ValueError, match=r"bits or gradients of the last 5 steps were not finite"):
        train(dataclasses.replace(reckless, train=settings), path, lines.append)
    assert any("steps were skipped" in line for line in lines)
    assert restore_params(Workdir(path), TINY)[0] == 3


def test_a_diverged_run_stops_and_keeps_its_good_checkpoint(data_path, begun, tmp_path):
    shutil.copytree(begun, tmp_path / "run")
    reckless = make_config(data_path, optimizer=OptimizerConfig(learning_rate=1e38))
    with pytest.raises(ValueError, match="training has diverged; lower optimizer"):
        train(reckless, tmp_path / "run", lambda _: None)
    assert restore_params(Workdir(tmp_path / "run"), TINY)[0] == 3
    lines = []
    train(make_config(data_path, num_steps=4), tmp_path / "run", lines.append)
    assert "Going on after step 3." in lines


def test_another_dataset_is_refused(data_path, finished, tmp_path):
    path, _ = finished
    other = make_dataset(tmp_path / "other", clip_s=0.2)
    with pytest.raises(ValueError, match=r"dataset_digest=.* holds a run with dataset_digest="):
        train(make_config(other), path, lambda _: None)
    moved = tmp_path / "moved"
    shutil.copytree(data_path, moved)
    train(make_config(moved), path, lambda _: None)


def test_a_run_that_never_reached_a_checkpoint_may_change(data_path, finished, tmp_path):
    path, _ = finished
    shutil.copy(path / "config.json", tmp_path / "config.json")
    config = make_config(data_path, num_steps=1, seed=9)
    train(config, tmp_path, lambda _: None)
    assert Workdir(tmp_path).read_info().config.seed == 9


def test_a_finished_run_is_not_trained_further(data_path, finished):
    path, _ = finished
    before = entries(path)
    lines = []
    train(make_config(data_path), path, lines.append)
    assert "Trained 6 steps already; raise train.num_steps to go on." in lines
    assert entries(path) == before


@pytest.mark.slow
def test_pmap_trains_the_same(data_path, finished, tmp_path):
    path, _ = finished
    config = make_config(data_path, parallel=ParallelConfig(map="pmap"))
    train(config, tmp_path / "run", lambda _: None)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        all_params(tmp_path / "run"),
        all_params(path),
    )


def test_the_generator_needs_only_the_workdir(finished):
    path, _ = finished
    generator = Generator.from_workdir(path)
    assert generator.sample_rate_hz == RATE
    assert generator.generate(jax.random.key(0), 2, 0.2).shape == (2, 200)
    assert Generator.from_workdir(path, step=3).step == 3
    with pytest.raises(ValueError, match=r"step=4: workdir .* has checkpoints of steps 3, 6"):
        Generator.from_workdir(path, step=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": ModelConfig(frame_sizes=(2, 4), dim=12, emb_size=4, q_levels=16)},
            "model.dim=12: workdir .* holds a run with model.dim=8",
        ),
        ({"seed": 5}, "seed=5: workdir .* holds a run with seed=0"),
        (
            {"data": DataConfig(batch_size=16, seq_len=16)},
            "data.batch_size=16: workdir .* holds a run with data.batch_size=8",
        ),
    ],
)
def test_a_workdir_of_another_run_is_refused(data_path, finished, change, message):
    path, _ = finished
    before = (path / "config.json").read_text()
    if "data" in change:
        change = {"data": dataclasses.replace(change["data"], path=str(data_path))}
    with pytest.raises(ValueError, match=message):
        train(make_config(data_path, **change), path, lambda _: None)
    assert (path / "config.json").read_text() == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"path": "/nowhere"}, "data.path=/nowhere: no dataset there"),
        ({"batch_size": 12}, "batch_size=12: must be divisible by the number of devices, 8"),
        ({"duration_s": 1e-9}, "sample.duration_s=1e-09: must be at least one sample, 0.001"),
    ],
)
def test_data_that_does_not_fit_is_refused_before_anything_is_written(
    data_path, tmp_path, data, message
):
    config = make_config(data_path)
    group = "sample" if "duration_s" in data else "data"
    changed = dataclasses.replace(getattr(config, group), **data)
    config = dataclasses.replace(config, **{group: changed})
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path / "run", lambda _: None)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no training run"):
        Generator.from_workdir(tmp_path)


def test_a_run_without_a_checkpoint_is_named(data_path, finished, tmp_path):
    path, _ = finished
    (tmp_path / "config.json").write_text((path / "config.json").read_text())
    with pytest.raises(ValueError, match="holds no checkpoint yet"):
        Generator.from_workdir(tmp_path)


def test_a_damaged_description_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"version": 1')
    with pytest.raises(ValueError, match=r"config.json: cannot be read as JSON"):
        Generator.from_workdir(tmp_path)
