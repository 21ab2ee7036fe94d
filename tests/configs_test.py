import importlib
from pathlib import Path

import pytest

from samplernn_jax.config import ExperimentConfig, ModelConfig, WaveNetConfig

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
    named = [recipe for recipe in RECIPES if f"configs/{recipe}.py" in note]
    assert named == ([name] if name != "demo" else [])  # the default of --config


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


PAPER = {  # table 1: bits per sample on test
    "blizzard": {"1tier": 1.434, "wavenet": 1.480, "2tier": 1.392, "3tier": 1.387},
    "onom": {"1tier": 2.034, "wavenet": 2.285, "2tier": 2.026, "3tier": 1.990},
    "music": {"1tier": 1.410, "wavenet": 1.464, "2tier": 1.076, "3tier": 1.159},
}


@pytest.mark.parametrize("data", PAPER)
@pytest.mark.parametrize("model", ["1tier", "2tier", "3tier", "wavenet"])
def test_every_entry_of_the_papers_table_has_a_recipe(data, model):
    recipe = importlib.import_module(f"configs.{data}_{model}")
    assert f"Bits: {PAPER[data][model]:.3f} per sample on test, as published" in recipe.__doc__
    config = load(f"{data}_{model}", data_path="x").model
    shape = "wavenet" if isinstance(config, WaveNetConfig) else f"{len(config.frame_sizes) + 1}tier"
    assert shape == model
    assert f"prepare --dataset={data} --output=datasets/{data}" in recipe.__doc__
    assert f"--config.data.path=datasets/{data}" in recipe.__doc__


@pytest.mark.parametrize("data", ["blizzard", "onom"])
@pytest.mark.parametrize("model", ["1tier", "2tier", "3tier", "wavenet"])
def test_a_set_without_published_settings_has_those_of_music(data, model):
    assert load(f"{data}_{model}", data_path="x") == load(f"music_{model}", data_path="x")


def test_the_wavenet_recipe_is_the_originals_example():
    config = load("music_wavenet", "music")
    assert config.model == WaveNetConfig(num_blocks=4, layers_per_block=10, dim=64)
    assert (config.data.batch_size, config.data.seq_len) == (8, 1600)
    assert config.optimizer.learning_rate == 1e-4
