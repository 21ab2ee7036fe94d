"""What the tests of all commands start from, made once in each process of pytest."""

import json
import pickle
import shutil

import numpy as np
import pytest
import soundfile

from tests import pictures
from tests.experiments.commands import call_well, training


@pytest.fixture(scope="package", autouse=True)
def blank_pictures():
    with pictures.blank():
        yield


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    rng = np.random.default_rng(0)
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", rng.uniform(-0.5, 0.5, (9000, 2)), 16000)
    (folder / "broken.flac").write_bytes(b"no flac")
    return folder


@pytest.fixture(scope="session")
def dataset(recordings, tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets") / "noise"
    output = call_well(
        "prepare",
        *("--input", recordings, "--output", path, "--sample_rate", "8000", "--clip_s", "0.25"),
    )
    assert "passed over broken.flac: cannot be read as audio" in output
    assert "3 went in, 1 were passed over" in output
    return path


@pytest.fixture(scope="session")
def other_rate(recordings, tmp_path_factory):
    """The same recordings at another sample rate."""
    path = tmp_path_factory.mktemp("datasets") / "other_rate"
    call_well(
        "prepare",
        *("--input", recordings, "--output", path, "--sample_rate=4000", "--clip_s=0.25"),
    )
    return path


@pytest.fixture(scope="session")
def workdir(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    output = call_well(*training(path, dataset, num_steps=20))
    assert "step 20/20" in output
    assert "experiments.sample" in output
    return path


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    """What is no folder, or none that may be read."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "locked").mkdir(mode=0)
    (folder / "file").write_text("x")
    (folder / "dangling").symlink_to(folder / "none")
    (folder / "loop").symlink_to(folder / "loop")
    return folder


@pytest.fixture(scope="session")
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
