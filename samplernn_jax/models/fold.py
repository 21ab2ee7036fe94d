"""Rewrites a model's parameters so that sampling does less per sample, exactly.

Everything that is linear in what is known before the loop is multiplied out in float64 and rounded
once. What is folded, for each tier:

    weight normalization                       into the matrices
    embedding, first layer, and the linear     into tables that are looked up by token; the second
      second layer of the sample-level MLP       layer also into the output of the tier above
    InputExpand                                into the input projection of the RNN, which splits
                                                 into one of the frame and one of the conditioning
    embedding of the 1-tier model              with the input projection into tables
    WaveNet's skip scales                      into the matrices before them
    WaveNet's layers without activation        into one

The results are plain pytrees that know their own shapes. Their matrices are [outputs, inputs], for
columns of a batch, as `decode` has them: W @ x reads a matrix row by row.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from samplernn_jax.config import ArchitectureConfig, ModelConfig, WaveNetConfig
from samplernn_jax.models.samplernn.module import Params
from samplernn_jax.models.wavenet.module import layer_names

Matrix = Any
"""A numpy array as `fold` makes it, or the same on a device."""


class FoldedLinear(NamedTuple):
    """W @ x + b."""

    kernel: Matrix  # [outputs, inputs]
    bias: Matrix  # [outputs, 1]


class FoldedGRU(NamedTuple):
    """The recurrent matrices of a GRU."""

    gates: Matrix  # [2 * dim, dim]: update, reset
    candidate: Matrix  # [dim, dim]


class FoldedLSTM(NamedTuple):
    """The recurrent matrix of an LSTM."""

    gates: Matrix  # [4 * dim, dim]: i, f, o, g


class FoldedRNNLayer(NamedTuple):
    """A recurrent layer.

    Attributes:
        below: the projection of the layer below; None in the first layer, which has none.
        recurrent: its recurrent matrices.
    """

    below: FoldedLinear | None
    recurrent: FoldedGRU | FoldedLSTM


class FoldedRNN(NamedTuple):
    """A stacked RNN, after the projection of its input.

    Attributes:
        layers: from the bottom up.
        skips: the sum of linear maps of all layers' outputs, side by side; None without skip
            connections, where the last layer's output is the RNN's.
    """

    layers: tuple[FoldedRNNLayer, ...]
    skips: FoldedLinear | None


class FoldedTier(NamedTuple):
    """A frame-level tier.

    Attributes:
        frame: [projections, frame_size], projects the values of a frame. With skip connections
            all layers of the RNN read them, side by side, else only the first.
        above: projects the conditioning; None in the top tier.
        bias: [projections, 1], of that projection.
        rnn: the RNN.
        output: from its output to [ratio * dim], the conditioning of all frames below; in the
            lowest tier as the activation of the MLP's second layer wants it.
    """

    frame: Matrix
    above: Matrix | None
    bias: Matrix
    rnn: FoldedRNN
    output: FoldedLinear


class FoldedSampleRNN(NamedTuple):
    """A model of two tiers or more.

    Attributes:
        tiers: the frame-level tiers from the bottom up.
        tables: [frame_size * q_levels, dim], what each token adds, by its place in the window.
        head: the linear maps that follow, with activations in between.
    """

    tiers: tuple[FoldedTier, ...]
    tables: Matrix
    head: tuple[FoldedLinear, ...]

    @property
    def q_levels(self) -> int:
        """Number of quantization levels."""
        return len(self.head[-1].bias)


class FoldedSampleLevelRNN(NamedTuple):
    """The 1-tier model.

    Attributes:
        table: [q_levels, projections], the projection of a token with its bias.
        rnn: the RNN.
        head: the linear maps that follow, with activations in between.
    """

    table: Matrix
    rnn: FoldedRNN
    head: tuple[FoldedLinear, ...]


class FoldedWaveNetLayer(NamedTuple):
    """A gated layer.

    Attributes:
        dilated: from the sample before and the present one to gate and value.
        mix: [2 * dim, dim], from hidden to residual and skip output.
    """

    dilated: FoldedLinear
    mix: Matrix


class FoldedWaveNet(NamedTuple):
    """A WaveNet.

    Attributes:
        layers: from the input on.
        head: the linear maps from the sum of the skip outputs to the logits, with activations in
            between.
    """

    layers: tuple[FoldedWaveNetLayer, ...]
    head: tuple[FoldedLinear, ...]


Folded = FoldedSampleRNN | FoldedSampleLevelRNN | FoldedWaveNet


def fold(config: ArchitectureConfig, params: Params) -> Folded:
    """The equivalent model for `decode`.

    The independent predictions, which sampling never reads, are left out.

    Args:
        config: of the model.
        params: its parameters, as in training.

    Returns:
        A pytree of numpy arrays of the parameters' own type.
    """
    dtype = jax.tree.leaves(params)[0].dtype
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), jax.device_get(params))
    folded: Folded
    if isinstance(config, WaveNetConfig):
        folded = _wavenet(config, exact)
    elif config.frame_sizes:
        folded = _tier_stack(config, exact)
    else:
        folded = _sample_level_rnn(config, exact["tier_1"])
    return jax.tree.map(lambda x: np.ascontiguousarray(x, dtype), folded)


def _tier_stack(config: ModelConfig, params: Params) -> FoldedSampleRNN:
    mlp = params["tier_1"]
    second = _linear(mlp["hidden_2"])
    first = _kernel(mlp["hidden_1"]).T.reshape(config.frame_sizes[0], -1, config.dim)
    tables = first if config.emb_size == 0 else mlp["embedding"] @ first
    tiers = []
    for number in range(2, len(config.frame_sizes) + 2):
        tier = _frame_level_rnn(config, params[f"tier_{number}"])
        if number == 2:
            tier = tier._replace(output=_after_each(second, tier.output))
        tiers.append(tier)
    return FoldedSampleRNN(
        tuple(tiers),
        (tables @ second.kernel.T).reshape(-1, config.dim),
        (_linear(mlp["hidden_3"]), _linear(mlp["output"])),
    )


def _frame_level_rnn(config: ModelConfig, tier: Params) -> FoldedTier:
    inputs = _input_projection(config, tier["rnn"])
    rnn, output = _rnn(config, tier["rnn"]), _linear(tier["output"])
    if "input_expand" not in tier:
        return FoldedTier(inputs.kernel, None, inputs.bias, rnn, output)
    expand = _linear(tier["input_expand"])
    bias = inputs.kernel @ expand.bias + inputs.bias
    return FoldedTier(inputs.kernel @ expand.kernel, inputs.kernel, bias, rnn, output)


def _sample_level_rnn(config: ModelConfig, tier: Params) -> FoldedSampleLevelRNN:
    inputs = _input_projection(config, tier["rnn"])
    table = inputs.kernel if config.emb_size == 0 else inputs.kernel @ tier["embedding"].T
    names = ("hidden_1", "hidden_2", "hidden_3", "output")
    return FoldedSampleLevelRNN(
        (table + inputs.bias).T,
        _rnn(config, tier["rnn"]),
        tuple(_linear(tier[name]) for name in names),
    )


def _rnn_layers(config: ModelConfig, rnn: Params) -> Iterator[tuple[FoldedLinear, Params]]:
    """The input projection of each layer, and its other parameters."""
    for number in range(1, config.n_rnn + 1):
        layer = rnn[f"layer_{number}"]
        kernel, bias = _linear(layer["input"])
        yield FoldedLinear(kernel, bias + layer.get("bias", np.zeros(len(bias)))[:, None]), layer


def _input_projection(config: ModelConfig, rnn: Params) -> FoldedLinear:
    """What the layers that read the RNN's input make of it, with their biases.

    With skip connections every layer reads it, behind the layer below.
    """
    (first, _), *others = _rnn_layers(config, rnn)
    if not config.skip_conn:
        return first
    kernels = [first.kernel, *(linear.kernel[:, config.dim :] for linear, _ in others)]
    biases = [first.bias, *(linear.bias for linear, _ in others)]
    return FoldedLinear(np.concatenate(kernels), np.concatenate(biases))


def _rnn(config: ModelConfig, rnn: Params) -> FoldedRNN:
    layers = []
    for number, (linear, layer) in enumerate(_rnn_layers(config, rnn)):
        below: FoldedLinear | None = linear
        if number == 0:
            below = None
        elif config.skip_conn:  # the bias is in the input projection
            below = FoldedLinear(linear.kernel[:, : config.dim], np.zeros_like(linear.bias))
        gates = _kernel(layer["recurrent_gates"])
        recurrent: FoldedGRU | FoldedLSTM = FoldedLSTM(gates)
        if config.rnn_type == "gru":
            recurrent = FoldedGRU(gates, _kernel(layer["recurrent_candidate"]))
        layers.append(FoldedRNNLayer(below, recurrent))
    if not config.skip_conn:
        return FoldedRNN(tuple(layers), None)
    maps = [_linear(rnn[f"skip_{number + 1}"]) for number in range(config.n_rnn)]
    kernel = np.concatenate([linear.kernel for linear in maps], axis=1)
    return FoldedRNN(tuple(layers), FoldedLinear(kernel, maps[0].bias))


def _wavenet(config: WaveNetConfig, params: Params) -> FoldedWaveNet:
    layers = []
    for name, _ in layer_names(config):
        layer = params[name]
        residual, skip = np.split(_kernel(layer["mix"]), 2)
        mix = np.concatenate([residual, layer["skip_scale"] * skip])
        layers.append(FoldedWaveNetLayer(_linear(layer["dilated"]), mix))
    first, *others = (_linear(params[f"hidden_{number}"]) for number in (1, 2, 3))
    others.append(_linear(params["output"]))
    if config.output_activation == "relu":
        return FoldedWaveNet(tuple(layers), (first, *others))
    for linear in others:
        first = _after_each(linear, first)
    return FoldedWaveNet(tuple(layers), (first,))


def _after_each(after: FoldedLinear, linear: FoldedLinear) -> FoldedLinear:
    """Follows each of the vectors that `linear` makes, which lie one above the other."""
    size = after.kernel.shape[1]
    kernel = after.kernel @ linear.kernel.reshape(-1, size, linear.kernel.shape[1])
    bias = after.kernel @ linear.bias.reshape(-1, size, 1) + after.bias
    return FoldedLinear(kernel.reshape(-1, kernel.shape[2]), bias.reshape(-1, 1))


def _linear(params: Params) -> FoldedLinear:
    kernel = _kernel(params)
    return FoldedLinear(kernel, params.get("bias", np.zeros(len(kernel)))[:, None])


def _kernel(params: Params) -> np.ndarray:
    """The matrix [outputs, inputs], with weight normalization applied (see `normalize_weight`)."""
    kernel = params["kernel"].T
    if "scale" not in params:
        return kernel
    return kernel * (params["scale"] / np.linalg.norm(kernel, axis=1))[:, None]
