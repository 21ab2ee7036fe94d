import pytest

from samplernn_jax.training.run import train
from tests import pictures
from tests.training.runs import make_config


@pytest.fixture(scope="package", autouse=True)
def blank_pictures():
    with pictures.blank():
        yield


@pytest.fixture(scope="package")
def finished(data_path, tmp_path_factory):
    """A run that was not stopped, and the lines that it reported."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    lines = []
    train(make_config(data_path), path, lines.append)
    return path, lines


@pytest.fixture(scope="package")
def begun(data_path, tmp_path_factory):
    """A run that ended after step 3, to be copied."""
    path = tmp_path_factory.mktemp("runs") / "begun"
    train(make_config(data_path, num_steps=3), path, lambda _: None)
    return path
