import json
import re

import pytest

from samplernn_jax.config import ExperimentConfig, ModelConfig, WaveNetConfig, default_config

BAD = {
    "model.frame_sizes=(2, 7)": "frame_sizes=(2, 7): each must be a multiple of the one below",
    "model.frame_sizes=(8, 2)": "frame_sizes=(8, 2): each must be a multiple of the one below",
    "model.independent_preds=True|model.frame_sizes=()": "independent_preds=True: needs a frame",
    "model.frame_sizes=(0, 2)": "frame_sizes=(0, 2): each must be greater than 0",
    "model.frame_sizes=8": "config.model.frame_sizes=8: must be",
    "parallel.steps_per_call=3": "num_steps=100000: must be a multiple of steps_per_call=3",
    "parallel.microbatches=0": "microbatches=0: must be greater than 0",
    "model.dim=0": "dim=0: must be greater than 0",
    "model.dim=True": "config.model.dim=True: must be a whole number",
    "model.rnn_type='GRU'": "rnn_type='GRU': must be one of gru, lstm",
    "model.q_type='log'": "q_type='log': must be one of linear, mu-law, a-law",
    "model.architecture='cnn'": "config.model.architecture='cnn': must be one of samplernn",
    "model={'architecture': 'wavenet', 'n_rnn': 2}": "config.model.n_rnn: no such field; there are",
    "model={'architecture': 'wavenet', 'num_blocks': 0}": "num_blocks=0: must be greater than 0",
    "model={'architecture': 'wavenet', 'output_activation': 'elu'}": (
        "output_activation='elu': must be one of relu, none"
    ),
    "model={'architecture': 'wavenet', 'layers_per_block': 70}": "layers_per_block=70: must be at",
    "model={'architecture': [1]}": "config.model.architecture=[1]: must be one of samplernn, wave",
    "model={'architecture': 'wavenet', 'q_levels': 1}": "q_levels=1: must be at least 2",
    "model.q_levels=1": "q_levels=1: must be at least 2",
    "model.matmul_precision='high'": "matmul_precision='high': must be one of highest, default",
    "model.skip_conn=True": "skip_conn=True: needs n_rnn of at least 2, got n_rnn=1",
    "model.size=3": "config.model.size: no such field; there are frame_sizes",
    "data.seq_len=513": "seq_len=513: must be a multiple of the top frame size 8",
    "data.normalization='clip'": "normalization='clip': must be one of dataset, legacy",
    "data.normalization='legacy'": "path='': must name a folder of the original's .npy files",
    "model.q_type='a-law'|data.normalization='legacy'|data.path='x'": (
        "q_type='a-law': the original has no a-law"
    ),
    "data.batch_size=0": "batch_size=0: must be greater than 0",
    "data.path=3": "config.data.path=3: must be text",
    "data.synthetic_minutes=0.2": "synthetic_minutes=0.2: must be 0, or from 1 to 600",
    "data.synthetic_minutes=0.0": "data.path='': must name a dataset folder",
    "optimizer.independent_preds_weight=0.5": "independent_preds_weight=0.5: needs model.indep",
    "optimizer.independent_preds_weight=-1.0": "independent_preds_weight=-1.0: must be at l",
    "optimizer.learning_rate=float('nan')": "learning_rate=nan: must be greater than 0",
    "train.num_steps=0": "num_steps=0: must be greater than 0",
    "sample.every=7": "sample.every=7: must be a multiple of train.valid_every=1000",
    "sample.temperature=-1.0": "temperature=-1.0: must be at least 0",
    "sample.duration_s=float('inf')": "duration_s=inf: must be greater than 0, and finite",
    "parallel.map='vmap'": "map='vmap': must be one of shard_map, pmap",
    "model=3": "config.model=3: must be a group",
    "seed=-1": "seed=-1: must be in [0, 2147483648)",
}


@pytest.mark.parametrize(("settings", "message"), BAD.items(), ids=BAD.keys())
def test_a_value_that_breaks_its_rule_is_named(settings, message):
    values = ExperimentConfig().to_dict()
    for setting in settings.split("|"):
        path, value = setting.split("=", maxsplit=1)
        *groups, name = path.split(".")
        group = values
        for key in groups:
            group = group[key]
        group[name] = eval(value)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        ExperimentConfig.from_mapping(values)


@pytest.mark.parametrize("q_type", ["mu-law", "a-law"])
@pytest.mark.parametrize("config", [ModelConfig, WaveNetConfig])
def test_a_companded_model_has_256_levels(config, q_type):
    with pytest.raises(ValueError, match=f"q_levels=64: must be 256 with q_type='{q_type}'"):
        config(q_type=q_type, q_levels=64)


def test_survives_json_and_the_config_dict():
    config = ExperimentConfig(seed=3, model=ModelConfig(frame_sizes=(4, 8, 16)))
    as_json = config.to_dict()
    as_json["model"]["frame_sizes"] = [4, 8, 16]
    assert ExperimentConfig.from_mapping(as_json) == config
    assert ExperimentConfig.from_mapping(default_config().to_dict()) == ExperimentConfig()


def test_the_architecture_is_part_of_the_configuration():
    config = ExperimentConfig(model=WaveNetConfig(dim=7))
    as_json = json.loads(json.dumps(config.to_dict()))
    assert as_json["model"]["architecture"] == "wavenet"
    assert ExperimentConfig.from_mapping(as_json) == config
    editable = default_config(WaveNetConfig(dim=7)).to_dict()
    assert ExperimentConfig.from_mapping(editable) == config
    assert isinstance(ExperimentConfig.from_mapping({"model": {"dim": 3}}).model, ModelConfig)


def test_the_receptive_field_of_the_papers_wavenet():
    assert WaveNetConfig().overlap == 4 * 1023 + 1


def test_numbers_may_be_written_without_a_point():
    values = ExperimentConfig().to_dict()
    values["sample"]["temperature"] = 1
    temperature = ExperimentConfig.from_mapping(values).sample.temperature
    assert isinstance(temperature, float)
