import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.experiments.commands import ROOT, TINY, call, call_well, run_well, start, training


@pytest.mark.slow
def test_one_cpu_can_stand_for_many_devices(dataset, tmp_path):
    output = run_well(*training(tmp_path, dataset, 60), devices=8)
    assert "on 8 cpu device(s)" in output
    assert "step 60/60" in output


def test_a_batch_that_the_devices_do_not_divide_is_refused(dataset, tmp_path):
    command = training(tmp_path / "run", dataset, 10, "--config.data.batch_size=12")
    code, _, errors = call(*command)
    assert code == 2
    assert "batch_size=12: must be divisible by the number of devices, 8" in errors
    assert not (tmp_path / "run").exists()


def test_ctrl_c_while_a_recipe_is_read_is_no_traceback(recipes):
    code, _, errors = call("train", f"--config={recipes}/waits.py")
    assert (code, errors) == (130, "\nStopped.\n")


def test_a_recipe_sees_nothing_of_one_before(recipes):
    for name, message in (("dict", "returns dict"), ("lacks", "must define get_config()")):
        code, _, errors = call("train", f"--config={recipes}/{name}.py")
        assert code == 2
        assert message in errors


def test_a_workdir_of_another_model_is_refused(workdir, dataset):
    code, _, errors = call(*training(workdir, dataset, 30, "--config.model.n_rnn=2"))
    assert code == 2
    assert "model.n_rnn=2: workdir" in errors


@pytest.mark.slow
def test_an_imported_checkpoint_is_evaluated_sampled_and_trained(checkpoint, dataset, tmp_path):
    workdir = tmp_path / "run"
    call_well(
        "import_checkpoint",
        *("--source=theano", f"--path={checkpoint}", f"--workdir={workdir}"),
        "--sample_rate=8000",
    )
    code, _, errors = call("evaluate", f"--workdir={workdir}")
    assert code == 2
    assert "data_path='': must name a dataset" in errors
    evaluation = ("evaluate", f"--workdir={workdir}", f"--data_path={dataset}", "--batch_size=8")
    before = json.loads(call_well(*evaluation).splitlines()[-1])
    assert before["step"] == 0
    sampling = ("sample", f"--workdir={workdir}", f"--output={tmp_path / 'wavs'}")
    assert len(call_well(*sampling, "--duration_s=0.1").splitlines()) == 4
    fine_tuning = ("--config.train.valid_every=100", "--config.optimizer.learning_rate=0.01")
    code, _, errors = call("train", f"--workdir={workdir}")
    assert code == 2
    assert "config.data.path='': must name a dataset to train the imported model on" in errors
    command = training(workdir, dataset, 200, *fine_tuning)
    code, _, errors = call(*command)
    assert code == 2
    assert "model.frame_sizes=(2, 8): the model that was imported into" in errors
    command = [flag for flag in command if "config.model." not in flag]
    output = call_well(*command, "--config.model.dtype=bfloat16")
    assert "Training the model that was imported into the workdir, not the recipe's." in output
    model = json.loads((workdir / "config.json").read_text())["config"]["model"]
    assert (model["dtype"], model["dim"]) == ("bfloat16", 8)
    after = json.loads(call_well(*evaluation).splitlines()[-1])
    assert after["step"] == 200
    assert after["bits_per_sample"] < before["bits_per_sample"] - 1


@pytest.mark.slow
def test_wavenet_goes_through_the_same_commands(dataset, tmp_path):
    workdir = tmp_path / "run"
    call_well(
        "train",
        *("--config=configs/music_wavenet.py", f"--workdir={workdir}"),
        *(f"--config.data.path={dataset}", "--config.train.num_steps=20"),
        *("--config.model.num_blocks=2", "--config.model.layers_per_block=3"),
        *("--config.sample.every=0", *(flag for flag in TINY if "emb_size" not in flag)),
    )
    result = json.loads(call_well("evaluate", f"--workdir={workdir}").splitlines()[-1])
    assert 0 < result["bits_per_sample"] < 12
    sampling = ("sample", f"--workdir={workdir}", f"--output={tmp_path / 'wavs'}")
    assert len(call_well(*sampling, "--duration_s=0.1").splitlines()) == 4


@pytest.mark.slow
def test_killed_in_the_middle_a_run_goes_on_as_if_nothing_had_been(dataset, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_well(*training(whole, dataset, 300))
    process = start(*training(killed, dataset, 300))
    deadline = time.monotonic() + 120
    while not (killed / "checkpoints" / "50").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    output = run_well(*training(killed, dataset, 300))
    assert "Going on after step" in output
    results = [call_well("evaluate", f"--workdir={path}", "--step=300") for path in (whole, killed)]
    assert results[0] == results[1]
    names = sorted(p.relative_to(whole) for p in (whole / "samples").rglob("*.wav"))
    assert names
    for name in names:
        assert (whole / name).read_bytes() == (killed / name).read_bytes()
    curves = [
        [
            {key: value for key, value in json.loads(line).items() if not key.endswith("per_s")}
            for line in (path / "metrics.jsonl").read_text().splitlines()
        ]
        for path in (whole, killed)
    ]
    assert curves[0] == curves[1]


@pytest.mark.slow
def test_what_was_compiled_is_kept_in_the_users_cache_folder(dataset, tmp_path):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name in (
        *("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"),
        "XLA_FLAGS",  # what compiles fast is not kept
    ):
        environment.pop(name, None)
    name, *flags = map(str, training(tmp_path / "run", dataset, 10))
    command = [sys.executable, "-m", f"experiments.{name}", *flags]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (folder,) = (tmp_path / "cache" / "samplernn_jax").iterdir()
    names = [file.name for file in folder.iterdir()]
    assert any(name.startswith("jit_train_step") for name in names)
