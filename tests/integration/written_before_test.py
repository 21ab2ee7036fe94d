"""What version 0.1 wrote: a dataset, a run after 3 of 6 steps and a stream; and what followed."""

import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from samplernn_jax.runs.checkpoint import restore_params
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.training.run import train
from tests.tiny_models import TINY
from tests.training.runs import make_config

WRITTEN = Path(__file__).parents[1] / "golden" / "written_by_0_1.zip"


@pytest.fixture
def written(tmp_path):
    with zipfile.ZipFile(WRITTEN) as file:
        file.extractall(tmp_path)
    return tmp_path


@pytest.fixture
def expected(written):
    with np.load(written / "expected.npz") as file:
        return dict(file)


def test_a_run_goes_on_to_the_same_parameters(written, expected):
    lines = []
    train(make_config(written / "dataset", num_steps=6), written / "run", lines.append)
    assert "Going on after step 3." in lines
    _, params = restore_params(Workdir(written / "run"), TINY, 6)
    for path, array in jax.tree.leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        np.testing.assert_allclose(array, expected[f"params/{name}"], rtol=1e-5, atol=1e-7)


def test_a_run_generates_the_same_audio(written, expected):
    generator = Generator.from_workdir(written / "run")
    audio = generator.generate(jax.random.key(7), 2, 0.3, temperature=0.9)
    np.testing.assert_array_equal(audio, expected["audio"])


def test_a_saved_stream_goes_on_with_the_same_audio(written, expected):
    stream = Generator.from_workdir(written / "run").resume(written / "stream.npz")
    np.testing.assert_array_equal(stream.take(120), expected["later"])
