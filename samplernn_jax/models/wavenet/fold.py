"""Folding: a WaveNet's parameters, rewritten so that sampling computes less, exactly.

The skip scales are folded into the matrices before them, and layers without activation into one.
"""

from typing import NamedTuple

import numpy as np

from samplernn_jax.models.folded import (
    FoldedLinear,
    Matrix,
    after_each,
    fold_in_float64,
    fold_kernel,
    fold_linear,
)
from samplernn_jax.models.types import Params
from samplernn_jax.models.wavenet.config import WaveNetConfig
from samplernn_jax.models.wavenet.module import layer_names


class FoldedWaveNetLayer(NamedTuple):
    """A gated layer.

    Attributes:
        dilated: the map from the earlier and the present sample to gate and value.
        mix: [2 * dim, dim], the map from hidden to residual and skip output.
    """

    dilated: FoldedLinear
    mix: Matrix


class FoldedWaveNet(NamedTuple):
    """A WaveNet.

    Attributes:
        layers: the layers from the input on.
        head: the linear maps from the sum of the skip outputs to the logits, with activations in
            between.
    """

    layers: tuple[FoldedWaveNetLayer, ...]
    head: tuple[FoldedLinear, ...]


def fold(config: WaveNetConfig, params: Params) -> FoldedWaveNet:
    """Returns the equivalent model for decoding, a pytree of arrays of the parameters' own type.

    Args:
        config: the model's configuration.
        params: the model's parameters, as in training.
    """
    return fold_in_float64(params, lambda exact: _fold(config, exact))


def _fold(config: WaveNetConfig, params: Params) -> FoldedWaveNet:
    layers = []
    for name, _ in layer_names(config):
        layer = params[name]
        residual, skip = np.split(fold_kernel(layer["mix"]), 2)
        mix = np.concatenate([residual, layer["skip_scale"] * skip])
        layers.append(FoldedWaveNetLayer(fold_linear(layer["dilated"]), mix))
    first, *others = (fold_linear(params[f"hidden_{number}"]) for number in (1, 2, 3))
    others.append(fold_linear(params["output"]))
    if config.output_activation == "relu":
        return FoldedWaveNet(tuple(layers), (first, *others))
    for linear in others:
        first = after_each(linear, first)
    return FoldedWaveNet(tuple(layers), (first,))
