"""Measuring how fast this machine trains, samples and reads data."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from samplernn_jax.benchmarks import data as data_benchmark
from samplernn_jax.benchmarks import sampling as sampling_benchmark
from samplernn_jax.benchmarks import training as training_benchmark
from samplernn_jax.config import ExperimentConfig, ModelConfig
from samplernn_jax.devices import make_mesh, memory_of_device
from samplernn_jax.jobs.options.benchmark import BenchmarkOptions
from samplernn_jax.sizes import check_generation, check_training

Figures = dict[str, Any]
"""The result of a measurement, ready for JSON."""

Recipes = Callable[[str], dict[str, Any]]
"""Returns the values of a recipe by its name."""

_SAMPLE_RATE_HZ = 16_000
"""The sample rate for which the real-time factor of sampling is given."""


def benchmark(
    options: BenchmarkOptions, recipes: Recipes, tell: Callable[[str], None]
) -> list[Figures]:
    """Measures what the options ask for, and returns the figures of each measurement.

    Args:
        options: what to measure.
        recipes: returns the values of a recipe, whose dataset is not read.
        tell: receives the figures in words, a line for each measurement.

    Raises:
        ValueError: there is no such recipe or dataset, or the measurement does not fit.
    """
    if options.what == "data":
        return [_data(options, tell)]
    if options.what == "train":
        names = options.recipe or ("music_2tier", "music_3tier")
        return [_train(options, name, recipes(name), tell) for name in names]
    batch_sizes = [options.batch_size] if options.batch_size else [1, 16]
    return [
        _sample(options, name, recipes(name), batch_size, tell)
        for name in options.recipe or ("music_3tier",)
        for batch_size in batch_sizes
    ]


def _data(options: BenchmarkOptions, tell: Callable[[str], None]) -> Figures:
    model, batch_size = ModelConfig(frame_sizes=(2, 8)), options.batch_size or 128
    seq_len = options.seq_len or 512
    check_generation(model, batch_size, seq_len, memory_of_device(make_mesh()), "batch_size")
    with tempfile.TemporaryDirectory() as folder:
        if options.data_path is None:
            path = Path(folder) / "dataset"
            tell(f"Writing {options.hours:g} hours of audio.")
            data_benchmark.make_dataset(path, options.hours)
        else:
            path = Path(options.data_path)
        result = data_benchmark.measure(path, batch_size, seq_len, model, options.seconds)
    tell(
        f"{result['hours']:.1f} hours opened in {result['open_s']:.3f} s; "
        f"{result['samples_per_s'] / 1e6:.1f} million samples per second, "
        f"{result['padding']:.2%} of the targets are padding."
    )
    return {"what": "data", **result}


def _experiment(values: dict[str, Any], **data: Any) -> ExperimentConfig:
    """Returns a recipe's experiment on random tokens, with some fields of its data replaced."""
    return ExperimentConfig.from_mapping(
        {**values, "data": {**values["data"], "path": "random", **data}}
    )


def _sample(
    options: BenchmarkOptions,
    name: str,
    values: dict[str, Any],
    batch_size: int,
    tell: Callable[[str], None],
) -> Figures:
    model = _experiment(values).model
    check_generation(model, batch_size, 1, memory_of_device(make_mesh()), "batch_size")
    with _empty_compilation_cache():
        result = sampling_benchmark.measure(model, batch_size, _SAMPLE_RATE_HZ, options.seconds)
    tell(
        f"{name}, {batch_size} at once on {result['devices']}: "
        f"{result['samples_per_s_per_sequence']:,.0f} samples/s each, "
        f"{result['samples_per_s_total']:,.0f} in total, {result['real_time_factor']:.3g} times "
        f"real time at {_SAMPLE_RATE_HZ:,} Hz; a sample reads "
        f"{result['weight_bytes_per_sample'] / 1e6:.1f} of {result['weight_bytes'] / 1e6:.1f} MB "
        f"of weights, {result['bandwidth_ratio']:.0%} of "
        f"{result['bandwidth_bytes_per_s'] / 1e9:.1f} GB/s; {result['matmul_ratio']:.0%} of the "
        f"FLOP/s of large products; compiled in {result['compile_s']:.1f} s, from the cache in "
        f"{result['cached_compile_s']:.1f} s"
    )
    return {"what": "sample", "config": name, **result}


@contextlib.contextmanager
def _empty_compilation_cache() -> Iterator[None]:
    """Uses a new compilation cache, so that the first compilation finds nothing in it."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, value in zip(names, (folder, 0.0), strict=True):
                jax.config.update(name, value)
            compilation_cache.reset_cache()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()


def _train(
    options: BenchmarkOptions, name: str, values: dict[str, Any], tell: Callable[[str], None]
) -> Figures:
    asked = {"batch_size": options.batch_size, "seq_len": options.seq_len}
    given = {name: value for name, value in asked.items() if value is not None}
    config, mesh = _experiment(values, **given), make_mesh()
    check_training(config, mesh.size, memory_of_device(mesh))
    result = training_benchmark.measure(config, options.seconds)
    tell(
        f"{name}, batch {result['batch_size']} x {result['seq_len']} on {result['devices']}: "
        f"{result['seconds_per_step']:.3f} s per step, {result['samples_per_s']:,.0f} samples/s, "
        f"{result['flop_per_s'] / 1e9:,.1f} GFLOP/s, {result['ratio']:.0%} of "
        f"{result['matmul_flop_per_s'] / 1e9:,.1f} in large products; compiled in "
        f"{result['compile_s']:.1f} s, {result['memory_bytes'] / 2**20:,.0f} MiB"
    )
    return {"what": "train", "config": name, **result}
