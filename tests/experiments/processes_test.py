"""Several processes that train together, as a user starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from samplernn_jax.config import ModelConfig
from samplernn_jax.runs.checkpoint import restore_params
from samplernn_jax.runs.workdir import Workdir
from tests.experiments.commands import ROOT, call, run_well, start
from tests.ports import free_port
from tests.training.runs import make_dataset

MODEL = ModelConfig(frame_sizes=(4, 16), dim=8, emb_size=4)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data") / "tones")


def training(workdir, dataset, num_steps, *more):
    return (
        *("train", "--config=configs/piano_small.py", f"--workdir={workdir}"),
        *(f"--config.data.path={dataset}", f"--config.train.num_steps={num_steps}"),
        *("--config.model.dim=8", "--config.model.emb_size=4", "--config.data.batch_size=8"),
        *("--config.data.seq_len=32", "--config.train.valid_every=10"),
        *("--config.train.log_every=5", "--config.sample.every=0"),
        *("--config.sample.duration_s=0.1", "--config.train.keep_latest=3", *more),
    )


def start_all(num_processes, num_devices, *command):
    """A process each, which meet at a free port."""
    return start_each([command] * num_processes, num_devices)


def start_each(commands, num_devices=1):
    """A process for each command; they meet at a free port."""
    coordinator = f"--coordinator=127.0.0.1:{free_port()}"
    return [
        start(
            *command,
            *(coordinator, f"--num_processes={len(commands)}", f"--process_id={number}"),
            devices=num_devices,
        )
        for number, command in enumerate(commands)
    ]


def ended(processes, within_s=60):
    """Exit codes and errors, but for what gloo tells, of processes that have to end by then."""
    deadline = time.monotonic() + within_s
    results = []
    for process in processes:
        _, errors = process.communicate(timeout=max(1, deadline - time.monotonic()))
        lines = [line for line in errors.splitlines() if line and not line.startswith("[Gloo]")]
        results.append((process.returncode, lines))
    return results


def run_all(num_processes, num_devices, *command):
    """The outputs of all processes, of which none may fail."""
    processes = start_all(num_processes, num_devices, *command)
    results = [process.communicate(timeout=600) for process in processes]
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors
    return [output for output, _ in results]


def params_of(workdir, step):
    return restore_params(Workdir(workdir), MODEL, step)[1]


def assert_close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-4), a, b)


@pytest.fixture(scope="module")
def alone(dataset, tmp_path_factory):
    """30 steps of one process with one device."""
    path = tmp_path_factory.mktemp("runs") / "alone"
    run_well(*training(path, dataset, 30))
    return path


def test_two_processes_of_two_devices_are_resumed_as_four_of_one_and_one_of_eight(
    dataset, alone, tmp_path
):
    path = tmp_path / "run"
    first, other = run_all(2, 2, *training(path, dataset, 10))
    assert "on 4 cpu device(s) of 2 processes" in first
    assert "step 10/10" in first
    assert "step" not in other
    outputs = run_all(4, 1, *training(path, dataset, 20))
    assert "Going on after step 10." in outputs[0]
    assert "Going on after step 20." in run_well(*training(path, dataset, 30), devices=8)
    for step in (20, 30):
        assert_close(params_of(path, step), params_of(alone, step))
    lines = (path / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == sorted(steps)
    assert steps.count(10) == 2  # training and validation, of one process
    assert len(list((path / "samples" / "step_0000010").glob("*.wav"))) == 4


@pytest.mark.parametrize(
    "flag", ["--config.parallel.map=pmap", "--config.parallel.steps_per_call=5"]
)
def test_two_processes_compute_what_one_does(dataset, alone, tmp_path, flag):
    run_all(2, 2, *training(tmp_path / "run", dataset, 10, flag))
    assert_close(params_of(tmp_path / "run", 10), params_of(alone, 10))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_process_saves_in_all(dataset, tmp_path, number):
    path = tmp_path / "run"
    command = training(path, dataset, 100_000)
    processes = start_all(2, 1, *command)
    deadline = time.monotonic() + 300
    while not (path / "checkpoints" / "20").exists():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    processes[1].send_signal(number)
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert "which is saved; the same command goes on from there." in errors[0]
    stopped_at = int(errors[0].split("Stopped after step ")[1].split(",")[0])
    assert (path / "checkpoints" / str(stopped_at)).is_dir()
    output = run_well(*training(path, dataset, stopped_at + 5))
    assert f"Going on after step {stopped_at}." in output


def test_evaluation_by_two_processes_is_that_of_one(dataset, alone):
    command = ("evaluate", f"--workdir={alone}", "--split=test")
    together, silent = run_all(2, 1, *command)
    one = json.loads(run_well(*command).splitlines()[-1])
    two = json.loads(together.splitlines()[-1])
    assert "bits" not in silent
    assert two.pop("bits_per_sample") == pytest.approx(one.pop("bits_per_sample"), rel=1e-6)
    assert two == one


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--coordinator=auto",), "coordinator=auto: found no cluster in the environment"),
        (("--coordinator=x:1",), "coordinator=x:1: needs num_processes and process_id"),
        (("--process_id=1",), "num_processes and process_id go with HOST:PORT only"),
        (
            ("--coordinator=x:1", "--num_processes=2", "--process_id=2"),
            "process_id=2: must be less",
        ),
    ],
)
def test_flags_that_do_not_go_together_are_one_sentence(dataset, tmp_path, flags, message):
    code, _, errors = call(*training(tmp_path / "run", dataset, 10, *flags))
    assert code == 2
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def test_two_processes_share_the_sequences(dataset, tmp_path):
    run_well(*training(tmp_path / "run", dataset, 10))
    sampling = ("sample", f"--workdir={tmp_path / 'run'}", "--num_sequences=5")
    options = ("--duration_s=0.2", "--nopictures", "--temperature=0.8,0.9,1,1.1,1.2")
    alone = run_well(*sampling, *options, f"--output={tmp_path / 'alone'}").splitlines()
    together = [
        line
        for output in run_all(2, 2, *sampling, *options, f"--output={tmp_path / 'together'}")
        for line in output.splitlines()
        if line.endswith(".wav")
    ]
    assert len(alone) == len(together) == 5
    for a, b in zip(alone, together, strict=True):
        a, b = Path(a), Path(b)
        assert a.name == b.name
        one, other = soundfile.read(a)[0], soundfile.read(b)[0]
        np.testing.assert_array_equal(one[:200], other[:200])  # until rounding decides otherwise
    recipes = sorted(path.name for path in (tmp_path / "together").glob("*.json"))
    assert [name[-15:] for name in recipes] == ["_process_0.json", "_process_1.json"]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_one_process_ends_all_with_its_sentence(dataset, tmp_path, failing):
    rows = "--config.data.batch_size=6"
    commands = [training(tmp_path / "run", dataset, 100_000, rows) for _ in range(3)]
    commands[failing] = training(tmp_path / "run", tmp_path / "none", 100_000, rows)
    results = ended(start_each(commands))
    assert [code for code, _ in results] == [2, 2, 2]
    sentence = f"data.path={tmp_path / 'none'}: no dataset there (no dataset.json); "
    assert len(results[failing][1]) == 1
    assert results[failing][1][0].startswith(f"error: {sentence}")
    if failing:
        assert results[0][1][0].startswith(f"error: process {failing}: {sentence}")
    assert results[2][1] == []
    assert not (tmp_path / "run").exists()


IN_A_COLLECTIVE = """
import os, sys
import jax
from experiments import running
from samplernn_jax.jobs.options.processes import ProcessOptions
from samplernn_jax.processes import wait_for_all

_, coordinator, number, what = sys.argv
processes = ProcessOptions(coordinator=coordinator, num_processes=2, process_id=int(number))

def act():
    wait_for_all("begun")
    if number == "1":
        if what == "killed":
            os.kill(os.getpid(), 9)
        raise {"mistake": ValueError, "defect": TypeError}[what]("field=1: bad")
    while True:
        wait_for_all("again")

sys.exit(running.run(act, processes))
"""


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [
        ("mistake", 2, "error: process 1: field=1: bad"),
        ("defect", 1, "error: process 1: TypeError: field=1: bad"),
        ("killed", 1, "error: process 1: it was killed, or its host is gone"),
    ],
)
def test_who_waits_in_a_collective_ends_with_the_sentence_of_who_failed(what, code, told):
    coordinator = f"127.0.0.1:{free_port()}"
    program = [sys.executable, "-c", IN_A_COLLECTIVE, coordinator]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [*program, str(number), what],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    (first_code, first), (other_code, other) = ended(processes)
    assert (first_code, first) == (code, [told])
    assert other_code == (-signal.SIGKILL if what == "killed" else code)
    assert any("Traceback" in line for line in other) == (what == "defect")


def wait_for_checkpoint(path, step, processes):
    deadline = time.monotonic() + 300
    while not (path / "checkpoints" / str(step)).exists():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


def test_a_process_that_is_killed_ends_the_others_with_a_sentence(dataset, tmp_path):
    path = tmp_path / "run"
    rows = "--config.data.batch_size=6"
    processes = start_all(3, 1, *training(path, dataset, 100_000, rows))
    wait_for_checkpoint(path, 20, processes)
    processes[1].kill()
    results = ended(processes)
    assert [code for code, _ in results] == [1, -signal.SIGKILL, 1]
    assert results[0][1][-1] == "error: process 1: it was killed, or its host is gone"
    told = [line for _, lines in results for line in lines]
    assert not any("stack trace" in line or "Traceback" in line for line in told)
    saved = max(int(folder.name) for folder in (path / "checkpoints").iterdir())
    assert f"Going on after step {saved}." in run_well(*training(path, dataset, saved + 5, rows))


def test_the_others_end_when_the_first_process_is_killed(dataset, tmp_path):
    """At once, and with what jax says of it, as it has the service by which they would know."""
    processes = start_all(2, 1, *training(tmp_path / "run", dataset, 100_000))
    wait_for_checkpoint(tmp_path / "run", 10, processes)
    processes[0].kill()
    assert [code != 0 for code, _ in ended(processes)] == [True, True]


def test_a_leftover_of_a_killed_save_is_removed_once_and_the_run_goes_on(dataset, alone, tmp_path):
    path = tmp_path / "run"
    run_all(2, 1, *training(path, dataset, 10))
    left = path / "checkpoints" / "20.orbax-checkpoint-tmp"
    (left / "params.orbax-checkpoint-tmp").mkdir(parents=True)
    first, other = run_all(2, 1, *training(path, dataset, 20))
    assert "Going on after step 10." in first
    assert "Going on" not in other
    assert not left.exists()
    assert_close(params_of(path, 20), params_of(alone, 20))


def test_processes_with_another_folder_of_the_same_name_are_refused(dataset, tmp_path):
    commands = [training(tmp_path / name, dataset, 10) for name in ("a", "b")]
    results = ended(start_each(commands), within_s=150)  # of which it looks for a minute
    assert [code for code, _ in results] == [2, 2]
    said = [line for _, lines in results for line in lines]
    assert any("but process 1 does not see what process 0 writes" in line for line in said)
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_of_several_processes_is_refused(dataset, tmp_path):
    path = tmp_path / "run"
    processes = start_all(2, 1, *training(path, dataset, 100_000))
    wait_for_checkpoint(path, 10, processes)
    results = ended(start_all(2, 1, *training(path, dataset, 100_000)))
    assert [code for code, _ in results] == [2, 2]
    assert f"is in use by process {processes[0].pid} on " in results[0][1][0]
    assert all(process.poll() is None for process in processes)
    for process in processes:
        process.kill()
    ended(processes)
