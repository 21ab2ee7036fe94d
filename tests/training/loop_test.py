import dataclasses
import errno
import functools
import itertools
import json
import os
import shutil
import signal
import time

import jax
import numpy as np
import pytest
import soundfile

from samplernn_jax.config import DataConfig, ModelConfig, OptimizerConfig, ParallelConfig
from samplernn_jax.devices import make_mesh, replicate, shard_rows
from samplernn_jax.evaluation.validation import Evaluation
from samplernn_jax.interruption import Interrupted
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.runs.checkpoint import Checkpoints, restore_params
from samplernn_jax.runs.metrics import read_metrics
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.training import plan
from samplernn_jax.training.position import Position, from_checkpoint, to_checkpoint
from samplernn_jax.training.run import train
from samplernn_jax.training.step import init_state
from samplernn_jax.training.window import Window
from tests.tiny_models import TINY, init
from tests.training.runs import RATE, make_config, make_dataset


@pytest.fixture(scope="module")
def data_path(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture(scope="module")
def finished(data_path, tmp_path_factory):
    """A run that was not stopped, and the lines that it reported."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    lines = []
    train(make_config(data_path), path, lines.append)
    return path, lines


@pytest.fixture(scope="module")
def begun(data_path, tmp_path_factory):
    """A run that ended after step 3, to be copied."""
    path = tmp_path_factory.mktemp("runs") / "begun"
    train(make_config(data_path, num_steps=3), path, lambda _: None)
    return path


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


@pytest.mark.parametrize("stopped_at", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_resume_is_bit_exact(data_path, finished, tmp_path, stopped_at):
    path, _ = finished
    train(make_config(data_path, num_steps=stopped_at), tmp_path / "run", lambda _: None)
    lines = []
    train(make_config(data_path), tmp_path / "run", lines.append)
    assert f"Going on after step {stopped_at}." in lines
    jax.tree.map(np.testing.assert_array_equal, all_params(tmp_path / "run"), all_params(path))
    assert wavs(tmp_path / "run")[-2:] == wavs(path)
    assert entries(tmp_path / "run")[-1] == entries(path)[-1]
    assert "valid_bits" in entries(path)[-1]


def test_what_was_logged_after_the_checkpoint_is_logged_once(data_path, finished, begun, tmp_path):
    path, _ = finished
    shutil.copytree(begun, tmp_path / "run")
    with Workdir(tmp_path / "run").metrics_file.open("a") as file:
        file.write(json.dumps({"step": 4, "train_bits": 99.0}) + '\n{"step": 5, "tra')
    train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert entries(tmp_path / "run") == entries(path)


@pytest.mark.parametrize(
    ("number", "at"),
    [
        pytest.param(signal.SIGTERM, 4, id="SIGTERM"),
        pytest.param(signal.SIGINT, 3, id="Ctrl-C", marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_first_and_the_run_goes_on_bit_exactly(
    data_path, finished, tmp_path, monkeypatch, capfd, number, at
):
    path, _ = finished
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        add = Window.add
        steps = itertools.count(1)

        def add_and_send(window, metrics):
            add(window, metrics)
            if next(steps) == at:
                os.kill(os.getpid(), number)

        patch.setattr(Window, "add", add_and_send)
        with pytest.raises(Interrupted, match=f"Stopped after step {at}, which is saved") as error:
            train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert error.value.exit_code == 128 + number
    lost = {3: "3 steps", 4: "1 step"}[at]
    assert f"Finishing the step and saving; interrupt again to stop at once and lose {lost}." in (
        capfd.readouterr().err
    )
    assert signal.getsignal(number) is before
    lines = []
    train(make_config(data_path), tmp_path / "run", lines.append)
    assert f"Going on after step {at}." in lines
    jax.tree.map(np.testing.assert_array_equal, all_params(tmp_path / "run"), all_params(path))
    assert entries(tmp_path / "run") == entries(path)


@pytest.mark.slow
def test_stopped_before_the_checkpoint_a_run_does_all_again(
    data_path, finished, begun, tmp_path, monkeypatch
):
    path, _ = finished
    shutil.copytree(begun, tmp_path / "run")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(data_path), tmp_path / "run", lambda _: None)
    train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert entries(tmp_path / "run") == entries(path)
    assert wavs(tmp_path / "run")[-2:] == wavs(path)


@pytest.mark.parametrize(
    "stopped_in",
    [
        "samplernn_jax.training.loop.evaluate",
        pytest.param("samplernn_jax.training.logbook.learning_curve", marks=pytest.mark.slow),
        pytest.param("samplernn_jax.sampling.generator.Generator.generate", marks=pytest.mark.slow),
        pytest.param("samplernn_jax.sampling.output.plots.spectrogram", marks=pytest.mark.slow),
        pytest.param("samplernn_jax.runs.checkpoint.Checkpoints.record", marks=pytest.mark.slow),
    ],
)
def test_stopped_after_the_checkpoint_a_run_validates_and_samples_first(
    data_path, finished, begun, tmp_path, monkeypatch, stopped_in
):
    path, _ = finished
    run, calls = tmp_path / "run", itertools.count()
    shutil.copytree(begun, run)

    def stop(*_, **__):
        next(calls)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stopped_in, stop)
        for _ in range(2):
            with pytest.raises((KeyboardInterrupt, Interrupted)):
                train(make_config(data_path), run, lambda _: None)
    assert next(calls) == 2
    assert (run / "checkpoints" / "6").is_dir()
    lines = []
    train(make_config(data_path), run, lines.append)
    assert "Going on after step 6." in lines
    assert entries(run) == entries(path)
    assert wavs(run)[-2:] == wavs(path)
    assert Workdir(run).validations_file.read_text() == Workdir(path).validations_file.read_text()
    assert restore_params(Workdir(run), TINY)[0] == restore_params(Workdir(path), TINY)[0]
    jax.tree.map(np.testing.assert_array_equal, all_params(run), all_params(path))


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT]
)
def test_a_signal_while_it_validates_ends_a_run_at_once(
    data_path, finished, tmp_path, monkeypatch, capfd, number
):
    path, _ = finished

    def evaluate_for_ever(*_):
        os.kill(os.getpid(), number)
        time.sleep(600)

    with monkeypatch.context() as patch:
        patch.setattr("samplernn_jax.training.loop.evaluate", evaluate_for_ever)
        with pytest.raises(Interrupted, match="Stopped after step 3, which is saved") as error:
            train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert error.value.exit_code == 128 + number
    assert "Stopping; step 3 is saved." in capfd.readouterr().err
    train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert entries(tmp_path / "run") == entries(path)


@pytest.mark.slow
def test_several_steps_per_call_change_no_numbers_and_are_resumed(data_path, finished, tmp_path):
    path, _ = finished
    train_config = dataclasses.replace(make_config(data_path).train, log_every=3)
    for num_steps in (3, 6):
        config = make_config(
            data_path,
            train=dataclasses.replace(train_config, num_steps=num_steps),
            parallel=ParallelConfig(steps_per_call=3),
        )
        train(config, tmp_path / "run", lambda _: None)
    assert_close = functools.partial(np.testing.assert_allclose, atol=1e-6)
    jax.tree.map(assert_close, all_params(tmp_path / "run"), all_params(path))
    last, expected = entries(tmp_path / "run")[-1], entries(path)[-1]
    assert last["valid_bits"] == pytest.approx(expected["valid_bits"], rel=1e-5)


@pytest.mark.slow
def test_the_moving_average_is_resumed_and_is_what_is_evaluated(data_path, tmp_path):
    config = make_config(data_path, optimizer=OptimizerConfig(ema_decay=0.9))
    train(config, tmp_path / "straight", lambda _: None)
    for num_steps in (3, 6):
        part = dataclasses.replace(config.train, num_steps=num_steps)
        train(dataclasses.replace(config, train=part), tmp_path / "parts", lambda _: None)
    straight, parts = all_params(tmp_path / "straight"), all_params(tmp_path / "parts")
    jax.tree.map(np.testing.assert_array_equal, straight, parts)
    assert entries(tmp_path / "straight")[-1] == entries(tmp_path / "parts")[-1]
    with Checkpoints(Workdir(tmp_path / "parts"), config.train) as checkpoints:
        mesh = make_mesh(jax.devices()[:1])
        fresh = fresh_position(mesh, ema_decay=0.9)
        state = from_checkpoint(checkpoints.restore(to_checkpoint(fresh)), fresh).state
    jax.tree.map(np.testing.assert_array_equal, state.average, parts)
    assert any(
        (a != b).any() for a, b in zip(*map(jax.tree.leaves, (state.params, parts)), strict=True)
    )
    with pytest.raises(ValueError, match=r"optimizer.ema_decay=0.0: workdir .* holds a run with"):
        train(make_config(data_path), tmp_path / "parts", lambda _: None)


@pytest.mark.slow
def test_the_time_that_a_run_is_given_ends_it_and_it_goes_on_bit_exactly(
    data_path, finished, tmp_path
):
    path, _ = finished
    config = make_config(data_path)
    hasty = dataclasses.replace(config.train, max_hours=1e-9)
    for step in (1, 2):
        with pytest.raises(Interrupted, match=f"Stopped after step {step}, which is") as error:
            train(dataclasses.replace(config, train=hasty), tmp_path / "run", lambda _: None)
        assert error.value.exit_code == 0
    train(config, tmp_path / "run", lambda _: None)
    jax.tree.map(np.testing.assert_array_equal, all_params(tmp_path / "run"), all_params(path))
    assert entries(tmp_path / "run")[-1] == entries(path)[-1]


def test_a_run_goes_on_from_any_kept_checkpoint_bit_exactly(data_path, finished, tmp_path):
    path, _ = finished
    shutil.copytree(path, tmp_path / "run")
    lines = []
    train(make_config(data_path), tmp_path / "run", lines.append, from_step=3)
    assert "Going on after step 3." in lines
    jax.tree.map(np.testing.assert_array_equal, all_params(tmp_path / "run"), all_params(path))
    assert entries(tmp_path / "run") == entries(path)
    with pytest.raises(ValueError, match=r"step=4: workdir .* has checkpoints of steps 3, 6"):
        train(make_config(data_path), tmp_path / "run", lambda _: None, from_step=4)


@pytest.mark.slow
def test_a_run_from_before_there_was_a_precision_goes_on_with_any_and_says_which(
    data_path, finished, tmp_path
):
    shutil.copytree(finished[0], tmp_path / "run")
    content = json.loads(Workdir(tmp_path / "run").config_file.read_text())
    del content["config"]["model"]["matmul_precision"]
    Workdir(tmp_path / "run").config_file.write_text(json.dumps(content))
    model = dataclasses.replace(TINY, matmul_precision="default")
    lines = []
    train(make_config(data_path, num_steps=7, model=model), tmp_path / "run", lines.append)
    assert "matrix products in float32, rounded as the device does by default." in lines[0]
    assert "Going on after step 6." in lines
    assert Workdir(tmp_path / "run").read_info().config.model == model


def test_going_back_to_the_end_removes_nothing(data_path, finished, tmp_path):
    path, _ = finished
    shutil.copytree(path, tmp_path / "run")
    with pytest.raises(ValueError, match="from_step=6: must be below 6, the last step of the run"):
        train(make_config(data_path), tmp_path / "run", lambda _: None, from_step=6)
    steps = [int(folder.name) for folder in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sorted(steps) == [3, 6]


@pytest.mark.parametrize("obstacle", ["steps_per_call", "memory"])
def test_later_checkpoints_stay_where_the_run_cannot_go_on_from_an_older_one(
    data_path, finished, tmp_path, monkeypatch, obstacle
):
    path, _ = finished
    shutil.copytree(path, tmp_path / "run")
    config = make_config(data_path)
    if obstacle == "memory":
        monkeypatch.setattr(plan, "memory_of_device", lambda mesh: 2**15)
    else:
        settings = dataclasses.replace(config.train, num_steps=8, valid_every=2, log_every=2)
        parallel = ParallelConfig(steps_per_call=2)
        config = dataclasses.replace(config, train=settings, parallel=parallel)
    with pytest.raises(ValueError, match=r"must divide 3, the step|more than it has"):
        train(config, tmp_path / "run", lambda _: None, from_step=3)
    steps = [int(folder.name) for folder in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sorted(steps) == [3, 6]


def go_back_with_patience(data_path, finished, path, validations, patience):
    """Goes on from step 3 of a finished run, of which validation gave this before."""
    shutil.copytree(finished[0], path)
    Workdir(path).validations_file.write_text(json.dumps(validations))
    config = make_config(data_path)
    settings = dataclasses.replace(config.train, num_steps=60, patience=patience, keep_latest=1)
    lines = []
    train(dataclasses.replace(config, train=settings), path, lines.append, from_step=3)
    return lines


def test_later_checkpoints_stay_where_an_older_one_is_out_of_patience(
    data_path, finished, tmp_path
):
    validations = {"0": 1.0, "3": 2.0, "6": 0.5}
    lines = go_back_with_patience(data_path, finished, tmp_path / "run", validations, patience=1)
    assert lines[-1].endswith("the 1.000 bits of step 0; raise train.patience to go on.")
    steps = [int(folder.name) for folder in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sorted(steps) == [3, 6]


def test_patience_counts_from_the_best_step_before_the_one_a_run_goes_on_from(
    data_path, finished, tmp_path, monkeypatch
):
    same = Evaluation(3.0, num_samples=1, mean_of_batches=3.0, independent_bits=None)
    monkeypatch.setattr("samplernn_jax.training.loop.evaluate", lambda *_: same)
    validations = {"3": 2.0, "6": 1.0}
    lines = go_back_with_patience(data_path, finished, tmp_path / "run", validations, patience=2)
    assert lines[-1].startswith("Stopped after step 9: validation has not improved on the")
    assert lines[-1].endswith("2.000 bits of step 3.")


def test_the_checkpoints_are_looked_through_once(data_path, finished, tmp_path, monkeypatch):
    path, _ = finished
    shutil.copytree(path, tmp_path / "run")
    calls = []
    monkeypatch.setattr(
        "samplernn_jax.training.run.recover", lambda *_: calls.append(jax.process_index())
    )
    train(make_config(data_path), tmp_path / "run", lambda _: None)
    assert calls == [0]


def test_steps_per_call_that_do_not_lead_from_the_checkpoint_to_the_end_are_refused(
    data_path, tmp_path
):
    train(make_config(data_path, num_steps=4), tmp_path / "run", lambda _: None)
    config = make_config(data_path)
    settings = dataclasses.replace(config.train, num_steps=12, log_every=3)
    parallel = ParallelConfig(steps_per_call=3)
    with pytest.raises(ValueError, match=r"parallel.steps_per_call=3: must divide 4, the step"):
        train(
            dataclasses.replace(config, train=settings, parallel=parallel),
            tmp_path / "run",
            lambda _: None,
        )


@pytest.mark.slow
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(
    data_path, finished, tmp_path
):
    path, _ = finished
    shutil.copytree(path, tmp_path / "run")
    files = (tmp_path / "run" / "checkpoints" / "6" / "rest").rglob("*")
    largest = max((f for f in files if f.is_file()), key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])
    lines = []
    train(make_config(data_path), tmp_path / "run", lines.append)
    assert any("checkpoint of step 6 is damaged" in line for line in lines)
    assert "Going on after step 3." in lines
    jax.tree.map(np.testing.assert_array_equal, all_params(tmp_path / "run"), all_params(path))


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


def fresh_position(mesh, ema_decay=0.0):
    config = make_config("unused", optimizer=OptimizerConfig(ema_decay=ema_decay))
    state = init_state(config.optimizer, init(TINY, jax.random.key(0)))
    carry = initial_carry(TINY, state.params, config.data.batch_size)
    return Position(replicate(mesh, state), shard_rows(mesh, carry))


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
