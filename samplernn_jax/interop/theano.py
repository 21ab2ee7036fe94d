"""The original's checkpoints (Theano; github.com/soroushmehr/sampleRNN_ICLR2017).

Its four models save a pickled dict, parameter name -> array: three_tier.py, two_tier.py,
one_tier.py and wavent.py. The configuration is read from the names and shapes of the parameters;
only the quantization is not recorded.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig, ModelConfig, WaveNetConfig
from samplernn_jax.interop.safe_pickle import load_arrays
from samplernn_jax.models.interface import abstract_params
from samplernn_jax.models.types import Params

Arrays = Mapping[str, np.ndarray]

ReadArray = Callable[[str, int], np.ndarray]
"""Returns a parameter by its name in the original and number of dimensions; raises ValueError."""

FindArray = Callable[[tuple[str, ...], int], np.ndarray]
"""Returns the array for a path of our parameters and its number of dimensions."""

_LEVELS = ("SampleLevel", "FrameLevel", "BigFrameLevel")  # tiers 1, 2 and 3
_LINEAR = {
    "hidden_1": "L1",
    "hidden_2": "L2",
    "hidden_3": "L3",
    "output": "Output",
    "input_expand": "InputExpand",
    "independent_preds": "IndependentPreds",
    "input": "Input",
    "recurrent_gates": "Recurrent_Gates",
    "recurrent_candidate": "Recurrent_Candidate",
}
_LEAF = {"kernel": "W0", "scale": "g0", "bias": "b", "h0": "h0", "embedding": "Embedding"}


def load(
    path_or_mapping: str | Path | Arrays,
    q_type: str = "linear",
    independent_preds: bool = False,
    learn_h0: bool | None = None,
) -> tuple[ArchitectureConfig, Params]:
    """Reads a checkpoint of the original.

    Args:
        path_or_mapping: the pickle that the original saved, or its content: name -> array.
        q_type: the --q_type that the model was trained with, which the checkpoint does not record.
        independent_preds: keep the second output of the top tier, which every checkpoint of
            three_tier.py has and which its training leaves as it was initialized.
        learn_h0: the --learn_h0 of the model's training so far, and of further training. None
            infers it from the initial states: they were trained if any is not zero.

    Returns:
        The configuration and the parameters: a `ModelConfig` for `SampleRNN`, or a
        `WaveNetConfig` for `WaveNet`.

    Raises:
        ValueError: the file is not such a checkpoint: parameters are missing, unknown or of the
            wrong shape, or it is not a pickle of arrays alone.
        OSError: the file cannot be read.
    """
    if isinstance(path_or_mapping, Mapping):
        arrays, where = path_or_mapping, "checkpoint"
    else:
        arrays, where = load_arrays(Path(path_or_mapping)), str(path_or_mapping)
    try:
        return _load(arrays, q_type, independent_preds, learn_h0)
    except ValueError as error:
        raise ValueError(f"{where}: is not a checkpoint of the original ({error})") from error


def _load(
    arrays: Arrays, q_type: str, independent_preds: bool, learn_h0: bool | None
) -> tuple[ArchitectureConfig, Params]:
    found: list[str] = []

    def read(name: str, ndim: int) -> np.ndarray:
        require(name in arrays, f"it has no parameter {name}")
        array = np.asarray(arrays[name])
        is_numbers = array.dtype.kind in "fiu" and bool(np.isfinite(array).all())
        require(
            is_numbers and array.ndim == ndim,
            f"{name} is {array.dtype} {list(array.shape)}, not finite numbers in {ndim} dimensions",
        )
        found.append(name)
        return array

    if "block_1.parametrized_weights" in arrays:
        config, find = _wavenet(arrays, read, q_type)
    else:
        config, find = _samplernn(arrays, read, q_type, independent_preds, learn_h0)
    params = {}
    for path, expected in flatten_dict(abstract_params(config)).items():
        array = find(path, expected.ndim)
        require(
            array.shape == expected.shape,
            f"{found[-1]} makes {list(array.shape)}, but must make {list(expected.shape)} to "
            "fit the others",
        )
        params[path] = jnp.asarray(array, expected.dtype)
    left = [str(name) for name in arrays if name not in found]
    if not independent_preds:
        left = [name for name in left if not name.startswith("BigFrameLevel.IndependentPreds.")]
    require(not left, f"it has parameters that no model has: {', '.join(sorted(left))}")
    return config, unflatten_dict(params)


def _wavenet(arrays: Arrays, read: ReadArray, q_type: str) -> tuple[ArchitectureConfig, FindArray]:
    """Returns the configuration of a WaveNet, and a function that finds its parameters."""
    config = _infer_wavenet(arrays, read, q_type)
    return config, lambda path, ndim: _wavenet_array(path, read)


def _samplernn(
    arrays: Arrays, read: ReadArray, q_type: str, independent_preds: bool, learn_h0: bool | None
) -> tuple[ArchitectureConfig, FindArray]:
    """Returns the configuration of a SampleRNN, and a function that finds its parameters."""
    levels = [level for level in _LEVELS if f"{level}.h0" in arrays]
    require(bool(levels), "it has neither an h0 nor a block_1.parametrized_weights")
    if learn_h0 is None:
        learn_h0 = any(bool(read(f"{level}.h0", 2).any()) for level in levels)
    config = _infer_samplernn(arrays, read, levels[-1], q_type, independent_preds, learn_h0)
    return config, lambda path, ndim: _samplernn_array(config, path, ndim, read)


def _infer_samplernn(
    arrays: Arrays, read: ReadArray, top: str, q_type: str, independent_preds: bool, learn_h0: bool
) -> ModelConfig:
    rnn = "LSTM" if f"{top}.LSTM1.Step.b" in arrays else "GRU"
    frame_sizes: tuple[int, ...] = ()
    if top != "SampleLevel":  # whose RNN reads the raw frame
        frame_sizes = (read(f"{top}.{rnn}1.Step.Input.W0", 2).shape[0],)
    if top == "BigFrameLevel":
        frame_sizes = (read("FrameLevel.InputExpand.W0", 2).shape[0], *frame_sizes)
    has_embedding = "SampleLevel.Embedding" in arrays
    return ModelConfig(
        frame_sizes=frame_sizes,
        dim=read("SampleLevel.L2.W0", 2).shape[0],
        n_rnn=read(f"{top}.h0", 2).shape[0],
        rnn_type=rnn.lower(),
        skip_conn=any(".outskip" in str(name) for name in arrays),
        learn_h0=learn_h0,
        weight_norm="SampleLevel.Output.g0" in arrays,
        emb_size=read("SampleLevel.Embedding", 2).shape[1] if has_embedding else 0,
        q_levels=read("SampleLevel.Output.W0", 2).shape[1],
        q_type=q_type,
        independent_preds=independent_preds,
    )


def _infer_wavenet(arrays: Arrays, read: ReadArray, q_type: str) -> WaveNetConfig:
    pattern = re.compile(r"block_\d+\.parametrized_weights")
    lengths = {name: len(read(name, 1)) for name in map(str, arrays) if pattern.fullmatch(name)}
    require(
        len(set(lengths.values())) <= 1, f"its blocks have different numbers of layers, {lengths}"
    )
    q_levels, dim = read("final.W", 4).shape[:2]
    return WaveNetConfig(
        num_blocks=len(lengths),
        layers_per_block=lengths["block_1.parametrized_weights"],
        dim=dim,
        output_activation="none",
        q_levels=q_levels,
        q_type=q_type,
    )


def _samplernn_array(
    config: ModelConfig, path: tuple[str, ...], ndim: int, read: ReadArray
) -> np.ndarray:
    """Returns the original's array for a path of our parameters."""
    tier, *middle, leaf = path
    level = _LEVELS[int(tier.removeprefix("tier_")) - 1]
    rnn = config.rnn_type.upper()
    match middle:
        case ["rnn", skip, *_] if skip.startswith("skip_"):
            number = skip.removeprefix("skip_")
            stack = rnn if rnn == "GRU" else rnn + number
            names = [stack, f"outskip{number}y"]
        case ["rnn", layer, *linear]:
            number = layer.removeprefix("layer_")
            suffix = "+inpskip" if config.skip_conn and number != "1" else ""
            names = [rnn + number + suffix, "Step", *(_LINEAR[name] for name in linear)]
        case ["hidden_1"] if config.frame_sizes:
            names = ["L1_PrevSamples"]
        case linear:
            names = [_LINEAR[name] for name in linear]
    return read(".".join([level, *names, _LEAF[leaf]]), ndim)


def _wavenet_array(path: tuple[str, ...], read: ReadArray) -> np.ndarray:
    """Returns the array for a path of our parameters.

    The original has filters [outputs, inputs, width, 1], in which the outputs of a pair (gate and
    value, residual and skip) alternate; here they are matrices with the pairs side by side.
    """
    match path:
        case [("hidden_1" | "hidden_2" | "hidden_3" | "output") as linear, leaf]:
            name = "final" if linear == "output" else linear.replace("hidden", "out")
            return read(f"{name}.b", 1) if leaf == "bias" else _as_matrix(read(f"{name}.W", 4))
        case [layer, *middle]:
            block, number = layer.split("_layer_")
            name = f"{block}.dilation_{number}"
            match middle:
                case ["skip_scale"]:
                    return np.asarray(read(f"{block}.parametrized_weights", 1)[int(number) - 1])
                case ["dilated", "bias"]:
                    return _side_by_side(read(f"{name}.b", 1))
                case ["dilated", "kernel"]:
                    return _side_by_side(_as_matrix(read(f"{name}.W", 4)))
                case ["mix", "kernel"]:
                    return _side_by_side(_as_matrix(read(f"{name}.W1x1", 4)))
    raise AssertionError(path)


def _as_matrix(filters: np.ndarray) -> np.ndarray:
    """Returns filters [outputs, inputs, width, 1] as a matrix [width * inputs, outputs]."""
    return filters.transpose(3, 2, 1, 0).reshape(-1, filters.shape[0])


def _side_by_side(alternating: np.ndarray) -> np.ndarray:
    return np.concatenate([alternating[..., ::2], alternating[..., 1::2]], axis=-1)
