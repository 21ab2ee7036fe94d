"""Every architecture and kind of data goes through the same loop."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from samplernn_jax.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    SampleConfig,
    WaveNetConfig,
)
from samplernn_jax.runs.checkpoint import restore_params, save_imported
from samplernn_jax.runs.metrics import read_metrics
from samplernn_jax.runs.workdir import RunInfo, Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.training.run import train
from tests.tiny_models import TINY, random_params
from tests.training.runs import RATE, make_config

MODELS = {
    "1tier": ModelConfig(frame_sizes=(), dim=8, emb_size=4, q_levels=16),
    "wavenet": WaveNetConfig(num_blocks=2, layers_per_block=3, dim=8, q_levels=16),
}


def run(config, path):
    lines = []
    train(config, path, lines.append)
    return lines


@pytest.mark.slow
def test_the_bits_of_the_independent_predictions_are_logged_and_evaluated(data_path, tmp_path):
    model = dataclasses.replace(TINY, independent_preds=True)
    optimizer = OptimizerConfig(learning_rate=0.01, independent_preds_weight=0.5)
    config = make_config(data_path, num_steps=20, model=model, optimizer=optimizer)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, valid_every=20))
    run(config, tmp_path / "run")
    bits = [e["independent_bits"] for e in read_metrics(Workdir(tmp_path / "run")) if len(e) > 2]
    assert bits[-1] < bits[0] - 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1tier", "wavenet"])
def test_it_trains_resumes_exactly_and_generates(name, data_path, tmp_path):
    model = MODELS[name]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(make_config(data_path, model=model), whole)
    run(make_config(data_path, model=model, num_steps=4), stopped)
    assert "Going on after step 4." in run(make_config(data_path, model=model), stopped)
    params = [restore_params(Workdir(path), model, step=6)[1] for path in (whole, stopped)]
    jax.tree.map(np.testing.assert_array_equal, *params)
    info = json.loads(Workdir(whole).config_file.read_text())
    assert info["config"]["model"]["architecture"] == model.architecture
    audio = Generator.from_workdir(whole).generate(jax.random.key(0), 2, 0.1)
    assert audio.shape == (2, 0.1 * RATE)
    assert audio.std() > 0.1


@pytest.mark.slow
def test_tokens_of_16_bits_are_learned_scored_and_sampled(data_path, tmp_path):
    model = dataclasses.replace(TINY, q_levels=2**16)
    sample = SampleConfig(num_sequences=1, duration_s=0.01)
    lines = run(make_config(data_path, num_steps=3, model=model, sample=sample), tmp_path / "run")
    bigram_bits = float(re.findall(r"bigram ([0-9]+\.[0-9]+)", " ".join(lines))[0])
    assert 8 < bigram_bits < 16.5  # fitted on few samples, most of which have a token of their own
    generator = Generator.from_workdir(tmp_path / "run")
    free = generator.generate(jax.random.key(0), 1, 0.02)
    restricted = generator.generate(jax.random.key(0), 1, 0.02, top_k=5000, top_p=0.5)
    assert free.shape == restricted.shape == (1, 0.02 * RATE)
    assert (free != restricted).any()
    assert generator.score(free).mean() == pytest.approx(16, abs=1.5)


@pytest.mark.slow
def test_the_bits_of_each_architecture_fall(data_path, tmp_path):
    for name, model in MODELS.items():
        config = make_config(data_path, num_steps=40, model=model)
        optimizer = dataclasses.replace(config.optimizer, learning_rate=0.01)
        schedule = dataclasses.replace(config.train, valid_every=40)
        run(dataclasses.replace(config, optimizer=optimizer, train=schedule), tmp_path / name)
        bits = [e["train_bits"] for e in read_metrics(Workdir(tmp_path / name)) if len(e) > 2]
        assert bits[-1] < bits[0] - 0.5, name


@pytest.mark.slow
def test_the_originals_files_are_trained_on_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    for split, num_clips in (("train", 17), ("valid", 8), ("test", 9)):
        clips = 0.1 * np.sin(np.arange(50) * rng.uniform(0.1, 0.3, (num_clips, 1)))
        np.save(tmp_path / f"music_{split}.npy", clips.astype(np.float16))
    config = make_config("", data=DataConfig(str(tmp_path), "legacy", batch_size=8, seq_len=16))
    lines = run(config, tmp_path / "run")
    assert "at 16000 Hz" in lines[1]
    assert "8 steps per epoch" in lines[1]  # 2 batches of 4 segments, the 17th clip is dropped
    again = dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=16))
    with pytest.raises(ValueError, match=r"batch_size=16: must be at most 8, .*valid\.npy"):
        run(again, tmp_path / "other")


def import_into(path, params):
    workdir = Workdir(path)
    config = make_config("elsewhere", data=DataConfig())
    workdir.write_info(RunInfo(config, RATE, dataset_digest="", imported=True))
    save_imported(workdir, params)
    return workdir


@pytest.mark.slow
def test_an_imported_model_is_trained_further(data_path, tmp_path):
    params = random_params(TINY)
    workdir = import_into(tmp_path / "run", params)
    step, loaded = restore_params(workdir, TINY)
    assert step == 0
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    recipe = make_config(data_path, num_steps=1)
    slow = dataclasses.replace(recipe.optimizer, learning_rate=1e-9)
    lines = run(dataclasses.replace(recipe, optimizer=slow), tmp_path / "run")
    assert "Going on" not in " ".join(lines)
    assert sorted(json.loads(workdir.validations_file.read_text())) == ["0", "1"]
    trained = restore_params(workdir, TINY, step=1)[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), trained, params)
    assert workdir.read_info().dataset_digest != ""
    longer = make_config(data_path, num_steps=6)
    longer = dataclasses.replace(longer, train=dataclasses.replace(longer.train, keep_latest=1))
    assert "Going on after step 1." in run(longer, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, restore_params(workdir, TINY, step=0)[1], params)


@pytest.mark.slow
def test_an_imported_model_that_training_makes_worse_stays_the_best(data_path, tmp_path):
    good = make_config(data_path, num_steps=60, optimizer=OptimizerConfig(learning_rate=0.01))
    good = dataclasses.replace(good, train=dataclasses.replace(good.train, valid_every=60))
    run(good, tmp_path / "good")
    params = restore_params(Workdir(tmp_path / "good"), TINY)[1]
    workdir = import_into(tmp_path / "run", params)
    worse = make_config(data_path, optimizer=OptimizerConfig(learning_rate=1.0))
    worse = dataclasses.replace(worse, train=dataclasses.replace(worse.train, keep_latest=1))
    run(worse, tmp_path / "run")
    assert [e["step"] for e in read_metrics(workdir) if "valid_bits" in e] == [0, 3, 6]
    step, best = restore_params(workdir, TINY)
    assert step == 0
    jax.tree.map(np.testing.assert_array_equal, best, params)


@pytest.mark.slow
def test_an_attempt_that_failed_does_not_bind_an_imported_model(data_path, tmp_path):
    workdir = import_into(tmp_path / "run", random_params(TINY))
    reckless = OptimizerConfig(learning_rate=1e38)
    with pytest.raises(ValueError, match="training has diverged"):
        run(make_config(data_path, optimizer=reckless), tmp_path / "run")
    assert not workdir.was_trained
    more_rows = DataConfig(path=str(data_path), batch_size=16, seq_len=16)
    run(make_config(data_path, num_steps=1, data=more_rows, seed=3), tmp_path / "run")
    assert workdir.was_trained


def test_an_imported_model_of_another_sample_rate_is_refused(data_path, tmp_path):
    workdir = import_into(tmp_path / "run", random_params(TINY))
    info = dataclasses.replace(workdir.read_info(), sample_rate_hz=16_000)
    workdir.write_info(info)
    with pytest.raises(ValueError, match="sample_rate_hz=1000: workdir"):
        run(make_config(data_path), tmp_path / "run")


def test_another_architecture_than_the_runs_is_refused(data_path, tmp_path):
    run(make_config(data_path, num_steps=1), tmp_path / "run")
    with pytest.raises(ValueError, match=r"model\.architecture='wavenet': workdir"):
        run(make_config(data_path, model=MODELS["wavenet"]), tmp_path / "run")
