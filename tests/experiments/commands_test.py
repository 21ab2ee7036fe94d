"""The commands as a user runs them, in processes of their own."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.encoded import encode
from tests.experiments.forking import Commands

ROOT = Path(__file__).parents[2]

TINY = [
    "--config.model.dim=8",
    "--config.model.emb_size=4",
    "--config.data.batch_size=4",
    "--config.data.seq_len=32",
    "--config.train.valid_every=10",
    "--config.train.log_every=5",
    "--config.sample.duration_s=0.1",
]


def environment(devices=1):
    """What a user has, who does not know of NPROC."""
    of_user = {name: value for name, value in os.environ.items() if name != "NPROC"}
    return of_user | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}


def start(*command, devices=1, stdout=subprocess.PIPE, text=True):
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env=environment(devices),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=text,
    )


def run(*command, devices=1):
    """The exit code, the output and the errors of a command."""
    process = start(*command, devices=devices)
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def run_well(*command, devices=1):
    code, output, errors = run(*command, devices=devices)
    assert code == 0, errors
    assert "Traceback" not in errors
    return output


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    rng = np.random.default_rng(0)
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", rng.uniform(-0.5, 0.5, (9000, 2)), 16000)
    (folder / "broken.flac").write_bytes(b"no flac")
    return folder


@pytest.fixture(scope="module")
def dataset(recordings, tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets") / "noise"
    output = run_well(
        "experiments.prepare",
        *("--input", recordings, "--output", path, "--sample_rate", "8000", "--clip_s", "0.25"),
    )
    assert "passed over broken.flac: cannot be read as audio" in output
    assert "3 went in, 1 were passed over" in output
    return path


@pytest.fixture(scope="module")
def other_rate(recordings, tmp_path_factory):
    """The same recordings at another sample rate."""
    path = tmp_path_factory.mktemp("datasets") / "other_rate"
    run_well(
        "experiments.prepare",
        *("--input", recordings, "--output", path, "--sample_rate=4000", "--clip_s=0.25"),
    )
    return path


@pytest.fixture(scope="module")
def workdir(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    output = run_well(*training(path, dataset, num_steps=20))
    assert "step 20/20" in output
    assert "experiments.sample" in output
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """What the original would save of a tiny 1-tier model, and beside it a pickle with a call."""
    rng = np.random.default_rng(0)
    shapes = {"Embedding": (16, 4), "h0": (1, 8)}
    for name, inputs, outputs in (
        ("GRU1.Step.Input", 4, 24),
        ("L1", 8, 8),
        ("L2", 8, 8),
        ("L3", 8, 8),
        ("Output", 8, 16),
    ):
        shapes |= {f"{name}.W0": (inputs, outputs), f"{name}.b": (outputs,)}
    shapes |= {"GRU1.Step.Recurrent_Gates.W0": (8, 16), "GRU1.Step.Recurrent_Candidate.W0": (8, 8)}
    arrays = {f"SampleLevel.{k}": rng.normal(size=s).astype("f4") for k, s in shapes.items()}
    path = tmp_path_factory.mktemp("theano") / "params.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol=0))
    path.with_name("evil.pkl").write_bytes(b"cposix\nsystem\n(S'touch pwned'\ntR.")
    return path


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """Programs with a mistake each."""
    folder = tmp_path_factory.mktemp("recipes")
    for name, program in {
        "raises": "x = 1\nraise RuntimeError('boom')",
        "imports": "import nothing_here",
        "exits": "import sys\nsys.exit(3)",
        "value": "def get_config():\n    return int('x')",
        "opens": "def get_config():\n    return open('/none/x')",
        "syntax": "def get_config():\n    return 3 +",
        "none": "def get_config():\n    pass",
        "dict": "def get_config():\n    return {'seed': 1}",
        "int": "def get_config():\n    return 3",
        "lacks": "x = 1",
        "asks": "def get_config(size):\n    return size",
        "waits": "def get_config():\n    raise KeyboardInterrupt",  # as Ctrl-C there does
    }.items():
        (folder / f"{name}.py").write_text(program)
    return folder


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """What is no folder, or none that may be read."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "locked").mkdir(mode=0)
    (folder / "file").write_text("x")
    (folder / "dangling").symlink_to(folder / "none")
    (folder / "loop").symlink_to(folder / "loop")
    return folder


@pytest.fixture(scope="module")
def damaged(dataset, tmp_path_factory):
    """Datasets and states that somebody edited."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "deep.json").write_text("[" * 100_000)
    info = json.loads((dataset / "dataset.json").read_text())
    splits, train = info["splits"], info["splits"]["train"]
    unchecked = {name: value for name, value in train.items() if name != "lengths_sha256"}
    for name, change in {
        "rate": {"sample_rate_hz": 0.5},
        "rate_0": {"sample_rate_hz": 0},
        "rate_null": {"sample_rate_hz": None},
        "rate_x": {"sample_rate_hz": "x"},
        "splits": {"splits": {}},
        "audio": {"audio": None},
        "shards": {"splits": splits | {"train": train | {"shards": []}}},
        "checksum": {"splits": splits | {"train": unchecked}},
        "empty": {"splits": splits | {"train": train | {"num_clips": 0, "num_samples": 0}}},
        "lengths": {},
    }.items():
        shutil.copytree(dataset, folder / name)
        (folder / name / "dataset.json").write_text(json.dumps(info | change))
    lengths = folder / "lengths" / "train.lengths.npy"
    np.save(lengths, np.load(lengths)[None])
    shutil.copytree(dataset, folder / "deep")
    shutil.copy(folder / "deep.json", folder / "deep" / "dataset.json")
    (folder / "run").mkdir()
    (folder / "run" / "config.json").write_text('{"version": 1, "sample_rate_hz": null}')
    return folder


@pytest.fixture(scope="module")
def commands():
    with Commands(ROOT, environment()) as process:
        yield process


def training(workdir, dataset, num_steps, *more):
    return (
        "experiments.train",
        "--config=configs/piano_small.py",
        f"--workdir={workdir}",
        f"--config.data.path={dataset}",
        f"--config.train.num_steps={num_steps}",
        "--config.model.frame_sizes=(2,8)",
        "--config.sample.every=0",
        *TINY,
        *more,
    )


def test_a_dataset_is_described_with_its_histogram_checksums_and_a_picture(dataset):
    output = run_well("experiments.prepare", f"--describe={dataset}")
    assert "passed over broken.flac" in output
    assert "-6 dB" in output
    assert "All checksums hold." in output
    assert (dataset / "describe.png").read_bytes().startswith(b"\x89PNG")


def test_preparing_the_same_again_is_done_at_once_and_says_what_is_there(recordings, dataset):
    command = ("--input", recordings, "--output", dataset, "--sample_rate=8000", "--clip_s=0.25")
    assert "3 went in, 1 were passed over" in run_well("experiments.prepare", *command)


def test_a_killed_preparation_goes_on(tmp_path):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, 1_500_000)
    for number in range(40):
        soundfile.write(tmp_path / "in" / f"{number:02}.wav", noise[number:], 48_000)
    staging = tmp_path / ".d.partial" / "staging"
    command = ("experiments.prepare", f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'd'}")
    process = start(*command)
    while len(list(staging.glob("*.json"))) < 5:
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.communicate()
    done = {file: file.stat().st_mtime_ns for file in staging.glob("*.json")}
    assert 5 <= len(done) < 40
    assert not (tmp_path / "d").exists()
    process = start(*command)
    while process.poll() is None:
        for file in done:
            with contextlib.suppress(FileNotFoundError):  # removed when all is done
                assert file.stat().st_mtime_ns == done[file]
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()
    assert "40 went in" in process.communicate()[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "in"]


def test_a_full_disk_is_one_sentence_and_nothing_appears(tmp_path):
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 100_000)
    soundfile.write(tmp_path / "in" / "x.wav", noise, 16_000)
    limited = f"ulimit -f 100; {sys.executable} -m experiments.prepare"
    command = f"{limited} --input={tmp_path}/in --output={tmp_path}/d"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "d: cannot be written (File too large); what was done so far is kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "d").exists()


def test_evaluate_ends_with_one_json_object(workdir):
    code, output, errors = run("experiments.evaluate", f"--workdir={workdir}", "--split=valid")
    assert code == 0, errors
    result = json.loads(output.splitlines()[-1])
    assert set(result) == {
        "bits_per_sample",
        "average",
        "num_samples",
        "split",
        "step",
        "histogram_bits",
        "bigram_bits",
    }
    assert result["split"] == "valid"
    assert result["step"] in (10, 20)
    assert 0 < result["bits_per_sample"] < 12


@pytest.mark.slow
def test_one_cpu_can_stand_for_many_devices(dataset, tmp_path):
    output = run_well(*training(tmp_path, dataset, 60, "--config.data.batch_size=8"), devices=8)
    assert "on 8 cpu device(s)" in output
    assert "step 60/60" in output


def test_a_batch_that_the_devices_do_not_divide_is_refused(dataset, tmp_path):
    code, _, errors = run(*training(tmp_path / "run", dataset, 10), devices=3)
    assert code == 2
    assert "batch_size=4: must be divisible by the number of devices, 3" in errors
    assert not (tmp_path / "run").exists()


def test_evaluation_does_not_depend_on_devices_and_batches(workdir):
    first, *others = [
        json.loads(run_well("experiments.evaluate", f"--workdir={workdir}", *flags, devices=n))
        for n, flags in ((1, ()), (4, ()), (2, ("--batch_size=10", "--seq_len=64")))
    ]
    for other in others:
        assert other.pop("bits_per_sample") == pytest.approx(first["bits_per_sample"], abs=1.5e-6)
        assert other == {k: v for k, v in first.items() if k != "bits_per_sample"}


def test_the_mean_of_batches_is_there_to_be_compared(workdir):
    output = run_well("experiments.evaluate", f"--workdir={workdir}", "--average=batches")
    result = json.loads(output.splitlines()[-1])
    assert result["average"] == "batches"
    assert 0 < result["bits_per_sample"] < 12


def test_evaluate_scores_what_libsndfile_cannot_read_and_prints_notes(commands, workdir, tmp_path):
    file = tmp_path / "x.m4a"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8000))
    encode(file, [*noise], 16_000, "aac", "ipod")
    code, output, errors = commands.run("evaluate", f"--workdir={workdir}", f"--audio={file}")
    assert code == 0, errors
    assert errors == f"note: {file} has 2 audio streams, of which the first is taken.\n"
    (scored,) = json.loads(output.splitlines()[-1])["files"]
    assert scored["file"] == str(file)
    assert scored["num_samples"] == 4000
    assert 0 < scored["bits_per_sample"] < 12


def test_sample_writes_what_was_asked_for_and_the_same_again(workdir, tmp_path):
    files = []
    for name in ("a", "b"):
        output = run_well(
            "experiments.sample",
            *(f"--workdir={workdir}", f"--output={tmp_path / name}"),
            *("--num_sequences=2", "--duration_s=0.2", "--seed=4", "--temperature=0.9"),
        )
        files.append([Path(line) for line in output.splitlines()])
    assert len(files[0]) == 2
    assert soundfile.info(files[0][0]).samplerate == 8000
    assert soundfile.info(files[0][0]).frames == 1600
    for a, b in zip(*files, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.with_suffix(".png").exists()
    (recipe,) = (tmp_path / "a").glob("*.json")
    step = json.loads(recipe.read_text())["flags"]["step"]
    names = [f"step_{step}_temperature_0.9_seed_4{end}" for end in ("_0.wav", "_1.wav", ".json")]
    assert [files[0][0].name, files[0][1].name, recipe.name] == names


@pytest.mark.slow
def test_sample_replaces_nothing_but_the_same(workdir, tmp_path):
    command = ("experiments.sample", f"--workdir={workdir}", f"--output={tmp_path / 'out'}")
    run_well(*command, "--duration_s=0.1")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    code, _, errors = run(*command, "--duration_s=0.2", "--num_sequences=2")
    assert code == 2
    assert "were made with another duration_s and num_sequences; choose" in errors
    code, _, errors = run(*command, "--temperature=1,0.95", "--num_sequences=2")
    assert code == 2
    assert "_temperature_0.95_seed_0_1.wav: is there already; choose" in errors
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    run_well(*command, "--duration_s=0.1", "--nopictures", "--num_sequences=4")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sample_leaves_nothing_when_it_is_stopped(workdir, number, tmp_path):
    process = start(
        *("experiments.sample", f"--workdir={workdir}", f"--output={tmp_path / 'out'}"),
        "--duration_s=10000",
    )
    while not [*tmp_path.glob("out/.partial_*/.*")]:
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert [*(tmp_path / "out").iterdir()] == []


def test_sample_goes_on_from_prompts_and_ranks_what_comes_out(workdir, recordings, tmp_path):
    """What it says of the files is what scoring them says."""
    (tmp_path / "x.json").write_text('{"temperature": [[0, 0.5], [0.1, 1.5]]}')
    code, output, errors = run(
        "experiments.sample",
        *(
            f"--workdir={workdir}",
            f"--output={tmp_path / 'out'}",
            f"--schedule={tmp_path / 'x.json'}",
        ),
        *(f"--prompt={recordings / '0.wav'}", f"--prompt={recordings / '1.wav'}"),
        *("--prompt_start_s=0.1", "--prompt_duration_s=0.2", "--continuations=3", "--keep_prompt"),
        *("--duration_s=0.3", "--rank", "--reject=0.4,0.2", "--encoding=flac", "--nopictures"),
        devices=4,
    )
    assert code == 0, errors
    assert "0.wav was resampled from 16000 Hz to the model's 8000" in errors
    files = [Path(line) for line in output.splitlines()]
    assert [file.name[:7] for file in files] == ["rank_0_", "rank_1_", "rank_2_"]
    assert all(soundfile.info(file).frames == 4000 for file in files)
    (recipe,) = (tmp_path / "out").glob("*.json")
    told = json.loads(recipe.read_text())
    sequences = told["sequences"]
    assert {x["number"] for x in sequences} | set(told["rejected"]) == set(range(6))
    assert [sequence["file"] for sequence in sequences] == [file.name for file in files]
    bits = [sequence["bits_per_sample"] for sequence in sequences]
    assert bits == sorted(bits)
    scored = run_well("experiments.evaluate", f"--workdir={workdir}", f"--audio={files[0]}")
    over_time = json.loads(scored.splitlines()[-1])["files"][0]
    assert over_time["num_samples"] == 4000
    assert 0 < over_time["bits_per_sample"] < 12
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_stream_is_stopped_saved_and_resumed_to_the_sample(workdir, tmp_path):
    state = tmp_path / "state.npz"
    command = ("experiments.sample", f"--workdir={workdir}", "--stream", "--encoding=raw16")
    with (tmp_path / "first.raw").open("wb") as first:
        process = start(*command, f"--save_state={state}", "--block_s=0.07", stdout=first)
        while (tmp_path / "first.raw").stat().st_size < 5000:
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on." in errors
    assert "Traceback" not in errors
    with (tmp_path / "second.raw").open("wb") as second:
        for seconds in ("0.1", "0.41"):
            states = (f"--resume_state={state}", f"--save_state={state}")
            process = start(*command, *states, f"--duration_s={seconds}", stdout=second)
            process.communicate(timeout=60)
            assert process.returncode == 0
    joined = (tmp_path / "first.raw").read_bytes() + (tmp_path / "second.raw").read_bytes()
    with (tmp_path / "whole.wav").open("wb") as whole:
        duration = len(joined) / 2 / 8000
        process = start(*command[:3], f"--duration_s={duration}", stdout=whole)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert (tmp_path / "whole.wav").read_bytes()[44:] == joined
    assert soundfile.info(tmp_path / "whole.wav").frames == len(joined) // 2


@pytest.mark.slow
def test_a_stream_that_finds_no_room_saves_its_state(workdir, tmp_path):
    state = tmp_path / "state.npz"
    command = ("experiments.sample", f"--workdir={workdir}", "--stream", f"--save_state={state}")
    with Path("/dev/full").open("wb") as full:
        process = start(*command, stdout=full)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "standard output: cannot be written (No space left on device)" in errors
    assert "Traceback" not in errors
    assert state.exists()


@pytest.mark.slow
def test_a_stream_ends_when_its_player_is_closed(workdir):
    process = start("experiments.sample", f"--workdir={workdir}", "--stream", text=False)
    with process:
        assert process.stdout.read(4) == b"RIFF"
        process.stdout.close()
        assert process.stderr.read().decode().startswith("Played ")
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["prepare", "train", "evaluate", "sample", "import_checkpoint"])
def test_help_teaches(name):
    output = run_well(f"experiments.{name}", "--help")
    assert f"python -m experiments.{name}" in output
    assert "--" in output.split("Flags:")[1]


MISTAKES = {
    "prepare --input={tmp}/missing --output={tmp}/d": "input={tmp}/missing: must be an existing",
    "prepare --input={tmp} --output={tmp}/d": "input={tmp}: holds no audio file",
    "prepare --input={recordings}": "--output and --input (or --dataset) must be given",
    "prepare --input={recordings} --output={dataset}": "{dataset}: exists already, made with",
    "prepare --input={recordings} --output={workdir}": "{workdir}: exists already; remove it",
    "prepare --input={recordings} --output={tmp}/d --gain=louder": "flag --gain=louder",
    "prepare --input={recordings} --output={tmp}/d --split_by=folder": "split_by=folder: 0.wav",
    "prepare --input={recordings} --output={tmp}/d --test_list=x": "must be given together",
    "prepare --dataset=blizzard --output={tmp}/d": "dataset=blizzard: cannot be downloaded",
    "prepare --dataset=sc09 --input={recordings} --output={tmp}/d": "must hold Speech Commands",
    "prepare --dataset=sc09 --split_by=clip --output={tmp}/d": "split_by: must be left out",
    "prepare --describe={tmp}": "data.path={tmp}: no dataset there",
    "prepare --input={recordings} --output={tmp}/d --sample_rate=x": "flag --sample_rate=x",
    "prepare --input={recordings} --output={tmp}/d --clip_s=0": "clip_s=0.0: must be greater",
    "prepare --input={recordings} --output={recordings}/0.wav/d": "0.wav",
    "train --confg=x": "Unknown command line flag 'confg'",
    "train configs/demo.py": "'configs/demo.py': is not a flag",
    "train --config=configs/none.py": "configs/none.py",
    "train --config=configs/piano_small.py": "path='': must name a dataset folder",
    "train --config=README.md": "README.md, line",
    "train --config.model.size=3": "there is no such field, size",
    "train --config.model.dims=3": 'there is no such field, dims\' Did you mean "dim"',
    "import_checkpoint --source=theano": "--path and --workdir must be given; see --help",
    "evaluate --workdir={workdir} --data_path={other_rate}": "is at 4000 Hz, must be at",
    "train --config.model.dim=large": "large",
    "train --config.model.frame_sizes=(2,7)": "frame_sizes=(2, 7): each must be a multiple of",
    "train --config.model.q_type=mu-law --config.model.q_levels=64": "q_levels=64: must be 256",
    "train --config.data.seq_len=100": "seq_len=100: must be a multiple of the top frame size",
    "train --config.data.path={tmp}": "data.path={tmp}: no dataset there",
    "train --config.data.path={recordings}/0.wav": "0.wav: no dataset there",
    "evaluate --workdir={tmp}": "workdir={tmp}: holds no training run",
    "evaluate --workdir={workdir} --split=all": "flag --split=all",
    "evaluate --workdir={workdir} --step=7": "step=7: workdir {workdir} has checkpoints of",
    "evaluate --workdir={workdir} --data_path={tmp}": "data.path={tmp}: no dataset there",
    "evaluate --workdir={workdir} --normalization=legacy": "must hold one file *_train.npy",
    "evaluate --workdir={workdir} --batch_size=-1": "flag --batch_size=-1",
    "evaluate --workdir={workdir} --seq_len=3": "seq_len=3: must be a multiple of the top frame",
    "import_checkpoint --source=torch --path=x --workdir={tmp}/r": "flag --source=torch",
    "import_checkpoint --source=theano --path={tmp}/x --workdir={tmp}/r": "{tmp}/x",
    "import_checkpoint --source=theano --path={evil} --workdir={tmp}/r": "it names 'posix.system'",
    "import_checkpoint --source=theano --path={checkpoint} --workdir={dataset}": "exists already",
    "import_checkpoint --source=theano --path={checkpoint} --workdir={tmp}/r --q_type=mu-law": (
        "q_levels=16: must be 256 with q_type='mu-law'"
    ),
    "sample --workdir={workdir} --output={tmp}/o --duration_s=0": "duration_s=0.0: must be at",
    "sample --workdir={workdir} --output={tmp}/o --temperature=-1": "temperature=-1: must be",
    "sample --workdir={workdir} --output={tmp}/o --temperature=nan": "temperature=nan: must be",
    "sample --workdir={workdir} --output={tmp}/o --temperature=warm": "temperature=warm: must be",
    "sample --workdir={workdir} --output={tmp}/o --duration_s=1e15": "years",
    "sample --workdir={workdir} --output={tmp}/o --temperature=1,1": (
        "temperature: must be one value or one for each of the 4 sequences, got 2"
    ),
    "sample --workdir={workdir} --output={tmp}/o --step=7": "step=7: workdir {workdir} has",
    "sample --workdir={workdir} --output={tmp}/o --top_p=2": "top_p=2: must be greater than 0",
    "sample --workdir={workdir} --output={tmp}/o --num_sequences=0": "num_sequences=0: must be",
    "sample --workdir={workdir} --output={tmp}/o --reject=0.5,0.5": "leaves none of 4 sequences",
    "sample --workdir={workdir} --output={tmp}/o --reject=0.5": "must be two numbers LOW,HIGH",
    "sample --workdir={workdir} --output={tmp}/o --schedule={tmp}/s": "schedule={tmp}/s: cannot",
    "sample --workdir={workdir} --output={tmp}/o --prompt={tmp}/p": "prompt {tmp}/p: cannot be",
    "sample --workdir={workdir} --output={tmp}/o --prompt={recordings}/0.wav --prompt_start_s=9": (
        "ends after 0.562 s, must be longer than prompt_start_s=9"
    ),
    "sample --workdir={workdir} --output={tmp}/o --prompt=x --num_sequences=3": (
        "num_sequences=3: does not go with --prompt"
    ),
    "sample --workdir={workdir} --output={tmp}/o --continuations=3": "continuations=3: needs",
    "sample --workdir={workdir} --output={recordings}/0.wav": "0.wav: must be a folder that can",
    "sample --workdir={workdir}": "output: must be given, or --stream",
    "sample --workdir={workdir} --output={tmp}/o --save_state=x": "save_state=x: needs --stream",
    "sample --workdir={workdir} --stream --output={tmp}/o": "does not go with --stream",
    "sample --workdir={workdir} --stream --save_state={tmp}": "save_state={tmp}: is a folder",
    "sample --workdir={workdir} --stream --resume_state={tmp}/x": "{tmp}/x: cannot be read",
    "sample --workdir={workdir} --stream --resume_state=x --seed=3": "seed=3: is determined by",
    "sample --workdir={tmp}/none --output={tmp}/o": "workdir={tmp}/none: holds no training run",
    "evaluate --workdir={workdir} --audio=x --split=test": "split=test: does not go with --audio",
    "evaluate --workdir={workdir} --audio=x --audio_gain=nan": "audio_gain=nan: must be greater",
    "evaluate --workdir={workdir} --audio={tmp}/x": "audio={tmp}/x: cannot be read",
    # Recipes are programs.
    "train --config={recipes}/raises.py": "raises.py, line 2: RuntimeError: boom",
    "train --config={recipes}/imports.py": "imports.py, line 1: ModuleNotFoundError: No module na",
    "train --config={recipes}/exits.py": "exits.py, line 2: SystemExit: 3",
    "train --config={recipes}/value.py": "value.py, line 2: ValueError: invalid literal for int()",
    "train --config={recipes}/opens.py": "opens.py, line 2: FileNotFoundError: ",
    "train --config={recipes}/syntax.py": "syntax.py, line 2: SyntaxError: invalid syntax",
    "train --config={recipes}/none.py": "none.py: get_config() returns NoneType, must return Conf",
    "train --config={recipes}/none.py --config.seed=1": "none.py: get_config() returns NoneType",
    "train --config={recipes}/dict.py --config.seed=1": "dict.py: get_config() returns dict, must",
    "train --config={recipes}/int.py": "int.py: get_config() returns int, must return ConfigDict",
    "train --config={recipes}/lacks.py": "lacks.py: must define get_config()",
    "train --config={recipes}/asks.py": "asks.py: TypeError: get_config() missing 1 required",
    "train --config={recipes}": "config={recipes}: must be a recipe",
    "train --config=": "config=: must be a recipe",
    "train --config.=1": "--config: Could not parse '' as the name of a field",
    "train --config..x=1": "--config: Could not parse '.x' as the name of a field",
    "train --config.model.frame_sizes[0]=4": "(in: model.frame_sizes[0])",
    "train --config.model.dim.x=3": "there is no such field",
    "train --config.model=3": "flag --config.model=3: ",
    # Absurd sizes.
    "train --config.model.dim=100000000000000": "dim=100000000000000: must be at most 2147483647",
    "train --config.model.dim=1000000": "a model of 19,000,607,016,896 parameters",
    "train --config.model.q_levels=100000000000": "q_levels=100000000000: must be at most 65536",
    "train --config.model.n_rnn=100000": "n_rnn=100000: makes 200000 layers in all tiers or blocks",
    "train --config.data.seq_len=6000000000000": "seq_len=6000000000000: must be at most 21474836",
    "train --config.data.seq_len=1000000000": "seq_len=1000000000: take at least",
    "train --config.data.batch_size=1000000000000": "batch_size=1000000000000: must be at most",
    "train --config.data.batch_size=1000000000": "batch_size=1000000000, seq_len=",
    "train --plan --config.data.batch_size=1000000000": "batch_size=1000000000, seq_len=",
    "train --config.optimizer.warmup_steps=100000000000000": "warmup_steps=100000000000000: must",
    "train --config.optimizer.learning_rate=1e300": "learning_rate=1e+300: must be at most 3.4",
    "train --config.train.num_steps=100000000000000": "num_steps=100000000000000: must be at most",
    "train --config.sample.temperature=nan": "temperature=nan: must be at least 0, and finite",
    "train --config={root}/configs/music_wavenet.py --config.model.num_blocks=1000000": (
        "num_blocks=1000000: makes 10000000 layers"
    ),
    "train {tiny} --config.sample.duration_s=1e9": "is too long, a WAV file holds 4.0 GiB",
    "train {tiny} --config.sample.num_sequences=1000000000": "duration_s: 1000000000 x 0.1 s",
    "evaluate --workdir={workdir} --batch_size=1000000000000": "batch_size=1000000000000: must be",
    "evaluate --workdir={workdir} --batch_size=1000000000": "batch_size=1000000000, seq_len=32:",
    "evaluate --workdir={workdir} --audio={recordings}/0.wav --audio_gain=1e300": "must be at most",
    "sample --workdir={workdir} --output={tmp}/o --duration_s=1e9": "a WAV file holds",
    "sample --workdir={workdir} --output={tmp}/o --num_sequences=1000000000": "ulimit -n",
    "sample --workdir={workdir} --output={tmp}/o --temperature=1e300": "temperature=1e+300: must",
    "sample --workdir={workdir} --stream --num_sequences=1000000000": "=1000000000: takes at least",
    "benchmark --what=data --hours=1e9": "hours=1000000000.0: must be at most 10000",
    "benchmark --what=data --seconds=nan --data_path={dataset}": "seconds=nan: must be at most 3",
    "benchmark --what=data --data_path={dataset} --batch_size=100000000000": "batch_size=100000000",
    "benchmark --what=train --batch_size=1000000000": "batch_size=1000000000, seq_len=",
    "benchmark --what=sample --batch_size=100000000000": "batch_size=100000000000: takes at least",
    "benchmark --what=sample --seq_len=512": "seq_len=512: does not go with --what=sample",
    # Addresses, closed streams, and paths that are no folder.
    "train --coordinator=foo": "coordinator=foo: must be HOST:PORT of process 0, with a port",
    "sample --workdir=x --coordinator=foo:x --num_processes=2 --process_id=0": "must be HOST:PORT",
    "evaluate --workdir=x --coordinator=a:99999 --num_processes=2 --process_id=0": "HOST:PORT",
    "train --coordinator=a:1 --num_processes=2 --process_id=2": "process_id=2: must be less than",
    **{
        f"{command} >&-": "standard output is closed, must be a terminal, a pipe or a file"
        for command in (
            "train",
            "evaluate --workdir={workdir}",
            "sample --workdir={workdir} --stream",
            "prepare --describe={dataset}",
            "import_checkpoint --source=theano --path={checkpoint} --workdir={tmp}/r",
            "benchmark --what=data",
        )
    },
    "train {tiny} --workdir={odd}/file": "workdir={odd}/file: must be a folder or a new one, but",
    "train {tiny} --workdir={odd}/file/x": "workdir={odd}/file/x: must be a folder or a new one, b",
    "train {tiny} --workdir={odd}/dangling": "{odd}/dangling is a link to nothing",
    "train {tiny} --workdir={odd}/loop/x": "{odd}/loop is a link to nothing",
    "train {tiny} --config.data.path={odd}/loop": "data.path={odd}/loop: no dataset there",
    "evaluate --workdir={odd}/file": "workdir={odd}/file: holds no training run",
    "evaluate --workdir={odd}/loop": "{odd}/loop/config.json: cannot be read (Too many levels",
    "evaluate --workdir={workdir} --data_path={odd}/dangling": "data.path={odd}/dangling: no data",
    "sample --workdir={odd}/dangling --output={tmp}/o": "workdir={odd}/dangling: holds no train",
    "sample --workdir={workdir} --output={odd}/dangling": "output={odd}/dangling: must be a folder",
    "sample --workdir={workdir} --output={odd}/file/x": "output={odd}/file/x: must be a folder",
    "sample --workdir={workdir} --stream --save_state={odd}/file/x": "{odd}/file: must be a folder",
    "sample --workdir={workdir} --stream --resume_state={odd}/loop": "{odd}/loop: cannot be read",
    "prepare --input={recordings} --output={odd}/loop": "output={odd}/loop: must be a folder or a",
    "prepare --input={recordings} --output={odd}/file/x": "{odd}/file is a file",
    "prepare --input={odd}/dangling --output={tmp}/d": "input={odd}/dangling: must be an existing",
    "prepare --describe={odd}/file": "data.path={odd}/file: no dataset there",
    "import_checkpoint --source=theano --path={checkpoint} --workdir={odd}/file/x": "is a file",
    "import_checkpoint --source=theano --path={odd}/loop --workdir={tmp}/r": "{odd}/loop: ",
    "train {tiny} --workdir={odd}/locked": "{odd}/locked/checkpoints: Permission denied",
    "train {tiny} --workdir={odd}/locked/x": "{odd}/locked/x/checkpoints: Permission denied",
    "train {tiny} --config.data.path={odd}/locked": "{odd}/locked: cannot be read (Permission de",
    "evaluate --workdir={odd}/locked": "locked/config.json: cannot be read (Permission denied)",
    "sample --workdir={odd}/locked --output={tmp}/o": "config.json: cannot be read (Permission",
    "sample --workdir={workdir} --output={odd}/locked/x": "{odd}/locked/x: Permission denied",
    "sample --workdir={workdir} --stream --resume_state={odd}/locked/x": "x: cannot be read (Per",
    "prepare --input={odd}/locked --output={tmp}/d": "folder cannot be read (Permission denied)",
    "prepare --input={recordings} --output={odd}/locked/x": "{odd}/locked/x: Permission denied",
    "import_checkpoint --source=theano --path={checkpoint} --workdir={odd}/locked/x": "Permission",
    "train --workdir=": "workdir='': must not be empty",
    "train --plan --workdir=": "workdir='': must not be empty",
    "train --workdir=gs://b/run": "workdir=gs://b/run: must be a path on this machine",
    "evaluate --workdir=": "workdir='': must not be empty",
    "evaluate --workdir={workdir} --data_path=": "data_path='': must not be empty",
    "evaluate --workdir={workdir} --audio=": "audio='': must not be empty",
    "sample --workdir= --output={tmp}/o": "workdir='': must not be empty",
    "sample --workdir={workdir} --output=": "output='': must not be empty",
    "sample --workdir={workdir} --output={tmp}/o --prompt=": "prompt='': must not be empty",
    "sample --workdir={workdir} --output={tmp}/o --schedule=": "schedule='': must not be empty",
    "sample --workdir={workdir} --stream --save_state=": "save_state='': must not be empty",
    "sample --workdir={workdir} --stream --resume_state=": "resume_state='': must not be empty",
    "prepare --input= --output={tmp}/d": "input='': must not be empty",
    "prepare --input={recordings} --output=": "output='': must not be empty",
    "prepare --describe=": "describe='': must not be empty",
    "prepare --input=gs://b --output={tmp}/d": "input=gs://b: must be a path on this machine",
    "prepare --dataset=sc09 --cache= --output={tmp}/d": "cache='': must not be empty",
    "import_checkpoint --source=theano --path= --workdir={tmp}/r": "path='': must not be empty",
    "import_checkpoint --source=theano --path={checkpoint} --workdir=": "workdir='': must not be",
    "benchmark --what=data --data_path=": "data_path='': must not be empty",
    # Files that somebody edited.
    "train {tiny} --config.data.path={damaged}/rate": "dataset.json: sample_rate_hz=0.5: must be a",
    "train {tiny} --config.data.path={damaged}/rate_0": "sample_rate_hz=0: must be greater than or",
    "train {tiny} --config.data.path={damaged}/rate_null": "sample_rate_hz=None: must be a whole",
    "train {tiny} --config.data.path={damaged}/rate_x": "sample_rate_hz='x': must be a whole",
    "train {tiny} --config.data.path={damaged}/shards": "train.shards=[]: must not be empty",
    "train {tiny} --config.data.path={damaged}/checksum": "train.lengths_sha256: is missing",
    "train {tiny} --config.data.path={damaged}/empty": "train.num_clips=0: must be greater than 0",
    "train {tiny} --config.data.path={damaged}/lengths": "train.lengths.npy: holds int64 [1, ",
    "train {tiny} --config.data.path={damaged}/deep": "dataset.json: cannot be read as JSON (is ne",
    "evaluate --workdir={workdir} --data_path={damaged}/splits": "splits.train: is missing",
    "prepare --describe={damaged}/audio": "dataset.json: audio=None: must be a group",
    "evaluate --workdir={damaged}/run": "config.json: sample_rate_hz=None: must be a whole number",
    "sample --workdir={workdir} --output={tmp}/o --schedule={damaged}/deep.json": "is nested too",
    "sample --workdir={workdir} --stream --resume_state={damaged}/deep.json": "is not a saved",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    mistake,
    commands,
    recordings,
    dataset,
    other_rate,
    workdir,
    checkpoint,
    recipes,
    odd,
    damaged,
    tmp_path,
):
    places = {
        "root": ROOT,
        "checkpoint": checkpoint,
        "evil": checkpoint.with_name("evil.pkl"),
        "tmp": tmp_path,
        "recordings": recordings,
        "dataset": dataset,
        "other_rate": other_rate,
        "workdir": workdir,
        "recipes": recipes,
        "odd": odd,
        "damaged": damaged,
        "tiny": " ".join([f"--config.data.path={dataset}", *TINY]),
    }
    name, *arguments = mistake.format(**places).split()
    if name == "train" and "--workdir" not in mistake:
        arguments.append(f"--workdir={tmp_path / 'run'}")
    code, _, errors = commands.run(name, *arguments)
    assert code == 2, errors
    assert "Traceback" not in errors
    assert errors.startswith("error: ")
    assert len(errors.strip().splitlines()) == 1
    assert MISTAKES[mistake].format(**places) in errors
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_is_the_same_in_a_process_of_its_own(commands, tmp_path):
    command = ("evaluate", f"--workdir={tmp_path}")
    assert [*run(f"experiments.{command[0]}", *command[1:])] == commands.run(*command)


def test_ctrl_c_while_a_recipe_is_read_is_no_traceback(commands, recipes):
    code, _, errors = commands.run("train", f"--config={recipes}/waits.py")
    assert (code, errors) == (130, "\nStopped.\n")


def test_what_cannot_be_printed_is_one_sentence(dataset):
    with Path("/dev/full").open("w") as full:
        process = start("experiments.prepare", f"--describe={dataset}", stdout=full)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == "error: standard output: cannot be written (No space left on device)\n"


def test_standard_error_may_be_closed(commands, dataset):
    code, output, _ = commands.run("prepare", f"--describe={dataset}", "2>&-")
    assert code == 0
    assert "All checksums hold." in output


def test_a_workdir_of_another_model_is_refused(workdir, dataset):
    code, _, errors = run(*training(workdir, dataset, 30, "--config.model.n_rnn=2"))
    assert code == 2
    assert "model.n_rnn=2: workdir" in errors


@pytest.mark.slow
def test_an_imported_checkpoint_is_evaluated_sampled_and_trained(checkpoint, dataset, tmp_path):
    workdir = tmp_path / "run"
    run_well(
        "experiments.import_checkpoint",
        *("--source=theano", f"--path={checkpoint}", f"--workdir={workdir}"),
        "--sample_rate=8000",
    )
    code, _, errors = run("experiments.evaluate", f"--workdir={workdir}")
    assert code == 2
    assert "data_path='': must name a dataset" in errors
    evaluation = ("experiments.evaluate", f"--workdir={workdir}", f"--data_path={dataset}")
    before = json.loads(run_well(*evaluation, "--batch_size=2").splitlines()[-1])
    assert before["step"] == 0
    sampling = ("experiments.sample", f"--workdir={workdir}", f"--output={tmp_path / 'wavs'}")
    assert len(run_well(*sampling, "--duration_s=0.1").splitlines()) == 4
    fine_tuning = ("--config.train.valid_every=100", "--config.optimizer.learning_rate=0.01")
    code, _, errors = run("experiments.train", f"--workdir={workdir}")
    assert code == 2
    assert "config.data.path='': must name a dataset to train the imported model" in errors
    command = training(workdir, dataset, 200, *fine_tuning)
    code, _, errors = run(*command)
    assert code == 2
    assert "model.frame_sizes=(2, 8): the model that was imported into" in errors
    command = [flag for flag in command if "config.model." not in flag]
    output = run_well(*command, "--config.model.dtype=bfloat16")
    assert "Training the imported model of the workdir; the recipe's is not used." in output
    model = json.loads((workdir / "config.json").read_text())["config"]["model"]
    assert (model["dtype"], model["dim"]) == ("bfloat16", 8)
    after = json.loads(run_well(*evaluation).splitlines()[-1])
    assert after["step"] == 200
    assert after["bits_per_sample"] < before["bits_per_sample"] - 1


@pytest.mark.slow
def test_wavenet_goes_through_the_same_commands(dataset, tmp_path):
    workdir = tmp_path / "run"
    run_well(
        "experiments.train",
        *("--config=configs/music_wavenet.py", f"--workdir={workdir}"),
        *(f"--config.data.path={dataset}", "--config.train.num_steps=20"),
        *("--config.model.num_blocks=2", "--config.model.layers_per_block=3"),
        *("--config.sample.every=0", *(flag for flag in TINY if "emb_size" not in flag)),
    )
    result = json.loads(run_well("experiments.evaluate", f"--workdir={workdir}").splitlines()[-1])
    assert 0 < result["bits_per_sample"] < 12
    sampling = ("experiments.sample", f"--workdir={workdir}", f"--output={tmp_path / 'wavs'}")
    assert len(run_well(*sampling, "--duration_s=0.1").splitlines()) == 4


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
    results = [
        run_well("experiments.evaluate", f"--workdir={path}", "--step=300")
        for path in (whole, killed)
    ]
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
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", *map(str, training(tmp_path / "run", dataset, 10))]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (folder,) = (tmp_path / "cache" / "samplernn_jax").iterdir()
    names = [file.name for file in folder.iterdir()]
    assert any(name.startswith("jit_train_step") for name in names)
