import importlib
from pathlib import Path

import pytest

from samplernn_jax.config import ExperimentConfig, ModelConfig

RECIPES = sorted(path.stem for path in (Path(__file__).parents[1] / "configs").glob("*.py"))


def load(name, data_path=""):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.path = data_path
    return ExperimentConfig.from_mapping(config.to_dict())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_and_a_lab_note(name):
    load(name, data_path="some/dataset")
    note = importlib.import_module(f"configs.{name}").__doc__
    for part in ("Data:", "Hardware:", "Bits:", "python -m experiments.train"):
        assert part in note


def test_only_the_demo_needs_no_dataset():
    assert load("demo").data.path == ""
    for name in set(RECIPES) - {"demo"}:
        with pytest.raises(ValueError, match="path='': must name a dataset folder"):
            load(name)


def test_the_music_recipes_are_the_originals_best():
    three, two = load("music_3tier", "music"), load("music_2tier", "music")
    assert three.model == ModelConfig(frame_sizes=(2, 8), dim=1024, n_rnn=1, emb_size=256)
    assert two.model == ModelConfig(frame_sizes=(16,), dim=1024, n_rnn=3, emb_size=256)
    assert (three.data.batch_size, three.data.seq_len) == (128, 512)
    assert (two.data.batch_size, two.data.seq_len) == (128, 64 * 16)
    assert three.optimizer.learning_rate == two.optimizer.learning_rate == 1e-3
