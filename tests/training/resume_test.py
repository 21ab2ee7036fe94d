"""A run that was stopped goes on as if it had not been, from any checkpoint."""

import dataclasses
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

from samplernn_jax.config import OptimizerConfig, ParallelConfig
from samplernn_jax.devices import make_mesh, replicate, shard_rows
from samplernn_jax.evaluation.validation import Evaluation
from samplernn_jax.interruption import Interrupted
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.runs.checkpoint import Checkpoints, restore_params
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.training import plan
from samplernn_jax.training.position import Position, from_checkpoint, to_checkpoint
from samplernn_jax.training.run import train
from samplernn_jax.training.step import init_state
from samplernn_jax.training.window import Window
from tests.tiny_models import TINY, init
from tests.training.runs import all_params, entries, make_config, wavs


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


def fresh_position(mesh, ema_decay=0.0):
    config = make_config("unused", optimizer=OptimizerConfig(ema_decay=ema_decay))
    state = init_state(config.optimizer, init(TINY, jax.random.key(0)))
    carry = initial_carry(TINY, state.params, config.data.batch_size)
    return Position(replicate(mesh, state), shard_rows(mesh, carry))


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
