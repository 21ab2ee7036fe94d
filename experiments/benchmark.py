"""Measures how fast this machine trains and samples, and how far that is from what it can do.

    python -m experiments.benchmark --what=train --batch_size=16

runs training steps of the original's best 2-tier and 3-tier models on random tokens, and compares
the FLOP per second of their matrix products with what large products reach in the same run.

    python -m experiments.benchmark --what=data --hours=100

writes a synthetic dataset of 100 hours to a temporary folder (TMPDIR says where; it takes 115 MB
an hour), opens it and reads training segments, as training does. With --data_path it reads a
dataset of yours.

    python -m experiments.benchmark --what=sample

samples from the original's best 3-tier model, one sequence and sixteen at once, and compares the
bytes per second of weights that it reads with what the memory delivers in the same run. --recipe
takes another model. The last line is a JSON object.
"""

import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import jax
from absl import flags
from jax.experimental.compilation_cache import compilation_cache

from experiments import cli
from samplernn_jax.benchmarks import data as data_benchmark
from samplernn_jax.benchmarks import sampling as sampling_benchmark
from samplernn_jax.benchmarks import training as training_benchmark
from samplernn_jax.config import ExperimentConfig, ModelConfig
from samplernn_jax.devices import make_mesh, memory_of_device
from samplernn_jax.sizes import check_generation, check_training

_SAMPLE_RATE_HZ = 16_000
"""What real time is, for sample."""

_RECIPES = Path(__file__).parent.parent / "configs"

_WHAT = flags.DEFINE_enum(
    "what",
    "train",
    ["train", "data", "sample"],
    "train: training steps. data: opening and reading a dataset. sample: sampling.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Rows of a batch, or sequences. Default: the recipe's, or 128; 1 and 16 for sample.",
    lower_bound=1,
)
_SEQ_LEN = flags.DEFINE_integer(
    "seq_len", None, "Targets of a segment. Default: the recipe's, or 512.", lower_bound=1
)
_SECONDS = flags.DEFINE_float("seconds", 5.0, "How long each runs.", lower_bound=0.1)
_RECIPE = flags.DEFINE_multi_string(
    "recipe",
    None,
    "For train and sample: the name of a recipe in configs/. May be given several times. Default: "
    "music_2tier and music_3tier for train, music_3tier for sample.",
)
_DATA_PATH = flags.DEFINE_string(
    "data_path", None, "For data: a dataset to read, instead of a synthetic one."
)
_HOURS = flags.DEFINE_float(
    "hours", 1.0, "For data: hours of the synthetic dataset.", lower_bound=0.01
)


def main() -> None:
    """Measures, then prints the figures."""
    cli.check_paths("data_path")
    cli.refuse_unless(_WHAT.value == "data", "needs --what=data", "data_path", "hours")
    cli.refuse_unless(_WHAT.value != "data", "does not go with --what=data", "recipe")
    cli.refuse_unless(_WHAT.value != "sample", "does not go with --what=sample", "seq_len")
    for flag, longest in ((_SECONDS, 3600), (_HOURS, 10_000)):
        if not 0 < flag.value <= longest:
            raise ValueError(f"{flag.name}={flag.value}: must be at most {longest}")
    if _WHAT.value == "data":
        results = [_data()]
    elif _WHAT.value == "train":
        results = [_train(name) for name in _RECIPE.value or ["music_2tier", "music_3tier"]]
    else:
        batch_sizes = [_BATCH_SIZE.value] if _BATCH_SIZE.value else [1, 16]
        results = [
            _sample(name, batch_size)
            for name in _RECIPE.value or ["music_3tier"]
            for batch_size in batch_sizes
        ]
    print(json.dumps({"results": results}))


def _data() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        if _DATA_PATH.value is None:
            path = Path(folder) / "dataset"
            print(f"Writing {_HOURS.value:g} hours of audio.")
            data_benchmark.make_dataset(path, _HOURS.value)
        else:
            path = Path(_DATA_PATH.value)
        model, batch_size = ModelConfig(frame_sizes=(2, 8)), _BATCH_SIZE.value or 128
        seq_len = _SEQ_LEN.value or 512
        check_generation(model, batch_size, seq_len, memory_of_device(make_mesh()), "batch_size")
        result = data_benchmark.measure(path, batch_size, seq_len, model, _SECONDS.value)
    print(
        f"{result['hours']:.1f} hours opened in {result['open_s']:.3f} s; "
        f"{result['samples_per_s'] / 1e6:.1f} million samples per second, "
        f"{result['padding']:.2%} of the targets are padding."
    )
    return {"what": "data", **result}


def _recipe(name: str) -> dict[str, Any]:
    if not (_RECIPES / f"{name}.py").is_file():
        raise ValueError(f"recipe={name}: must be the name of a recipe in {_RECIPES}")
    values = importlib.import_module(f"configs.{name}").get_config().to_dict()
    values["data"] |= {"path": "random"}  # no dataset is read
    return values


def _sample(name: str, batch_size: int) -> dict[str, Any]:
    model = ExperimentConfig.from_mapping(_recipe(name)).model
    check_generation(model, batch_size, 1, memory_of_device(make_mesh()), "batch_size")
    with tempfile.TemporaryDirectory() as cache:  # so that the first compilation is one
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        compilation_cache.reset_cache()
        result = sampling_benchmark.measure(model, batch_size, _SAMPLE_RATE_HZ, _SECONDS.value)
    print(
        f"{name}, {batch_size} at once on {result['devices']}: "
        f"{result['samples_per_s_per_sequence']:,.0f} samples/s each, "
        f"{result['samples_per_s_total']:,.0f} in all, {result['real_time_factor']:.3g} times "
        f"real time at {_SAMPLE_RATE_HZ:,} Hz; a sample reads "
        f"{result['weight_bytes_per_sample'] / 1e6:.1f} of {result['weight_bytes'] / 1e6:.1f} MB "
        f"of weights, {result['bandwidth_ratio']:.0%} of "
        f"{result['bandwidth_bytes_per_s'] / 1e9:.1f} GB/s; {result['matmul_ratio']:.0%} of the "
        f"FLOP/s of large products; compiled in {result['compile_s']:.1f} s, from the cache in "
        f"{result['cached_compile_s']:.1f} s"
    )
    return {"what": "sample", "config": name, **result}


def _train(name: str) -> dict[str, Any]:
    values = _recipe(name)
    if _BATCH_SIZE.value:
        values["data"]["batch_size"] = _BATCH_SIZE.value
    if _SEQ_LEN.value:
        values["data"]["seq_len"] = _SEQ_LEN.value
    config, mesh = ExperimentConfig.from_mapping(values), make_mesh()
    check_training(config, mesh.size, memory_of_device(mesh))
    result = training_benchmark.measure(config, _SECONDS.value)
    print(
        f"{name}, batch {result['batch_size']} x {result['seq_len']} on {result['devices']}: "
        f"{result['seconds_per_step']:.3f} s per step, {result['samples_per_s']:,.0f} samples/s, "
        f"{result['flop_per_s'] / 1e9:,.1f} GFLOP/s, {result['ratio']:.0%} of "
        f"{result['matmul_flop_per_s'] / 1e9:,.1f} in large products; compiled in "
        f"{result['compile_s']:.1f} s, {result['memory_bytes'] / 2**20:,.0f} MiB"
    )
    return {"what": "train", "config": name, **result}


if __name__ == "__main__":
    cli.run(main, __doc__)
