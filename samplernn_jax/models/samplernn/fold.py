"""Folding: a SampleRNN's parameters, rewritten so that sampling computes less, exactly.

All linear maps of values that are known before the loop are multiplied out in float64 and rounded
once. For each tier, these parts are folded:

    weight normalization                       into the matrices
    embedding, first layer, and the linear     into tables that are looked up by token; the second
      second layer of the sample-level MLP       layer also into the output of the tier above
    InputExpand                                into the input projection of the RNN, which splits
                                                 into one of the frame and one of the tier above
    embedding of the 1-tier model              with the input projection into tables

The results are plain pytrees. Their matrices are [outputs, inputs], for a batch in columns: W @ x
reads a matrix row by row.
"""

from collections.abc import Iterator
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
from samplernn_jax.models.samplernn.config import ModelConfig
from samplernn_jax.models.samplernn.module import tiers_with_rnn
from samplernn_jax.models.types import Params


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
        below: the projection of the layer below; None in the first layer.
        recurrent: the recurrent matrices.
    """

    below: FoldedLinear | None
    recurrent: FoldedGRU | FoldedLSTM


class FoldedRNN(NamedTuple):
    """A stacked RNN, after the projection of its input.

    Attributes:
        layers: the layers from the bottom up.
        skips: the linear maps of all layers' outputs, side by side, whose sum is the output; None
            without skip connections, where the last layer's output is the RNN's.
    """

    layers: tuple[FoldedRNNLayer, ...]
    skips: FoldedLinear | None


class FoldedTier(NamedTuple):
    """A frame-level tier.

    Attributes:
        frame: [projections, frame_size], the projection of a frame's values. With skip connections
            all layers of the RNN read the result, side by side, otherwise only the first.
        from_above: the projection of the vectors from the tier above; None in the top tier.
        bias: [projections, 1], the bias of these projections.
        rnn: the RNN.
        output: the map from the RNN's output to [ratio * dim], the vectors for all frames below; in
            the lowest tier it includes the second layer of the MLP.
    """

    frame: Matrix
    from_above: Matrix | None
    bias: Matrix
    rnn: FoldedRNN
    output: FoldedLinear


class FoldedSampleRNN(NamedTuple):
    """A model of two tiers or more.

    Attributes:
        tiers: the frame-level tiers from the bottom up.
        tables: [frame_size * q_levels, dim], the vector of each token, by its place in the window.
        head: the linear maps that follow, with activations in between.
    """

    tiers: tuple[FoldedTier, ...]
    tables: Matrix
    head: tuple[FoldedLinear, ...]

    @property
    def q_levels(self) -> int:
        """The number of quantization levels."""
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


Folded = FoldedSampleRNN | FoldedSampleLevelRNN


def fold(config: ModelConfig, params: Params) -> Folded:
    """Returns the equivalent model for decoding.

    The independent predictions, which sampling never reads, are left out.

    Args:
        config: the model's configuration.
        params: the model's parameters, as in training.

    Returns:
        A pytree of numpy arrays of the parameters' own type.
    """

    def of_exact(params: Params) -> Folded:
        if config.frame_sizes:
            return _tier_stack(config, params)
        return _sample_level_rnn(config, params["tier_1"])

    return fold_in_float64(params, of_exact)


def _tier_stack(config: ModelConfig, params: Params) -> FoldedSampleRNN:
    mlp = params["tier_1"]
    second = fold_linear(mlp["hidden_2"])
    first = fold_kernel(mlp["hidden_1"]).T.reshape(config.frame_sizes[0], -1, config.dim)
    tables = first if config.emb_size == 0 else mlp["embedding"] @ first
    tiers: list[FoldedTier] = []
    for name in tiers_with_rnn(config):
        tier = _frame_level_rnn(config, params[name])
        if not tiers:
            tier = tier._replace(output=after_each(second, tier.output))
        tiers.append(tier)
    return FoldedSampleRNN(
        tuple(tiers),
        (tables @ second.kernel.T).reshape(-1, config.dim),
        (fold_linear(mlp["hidden_3"]), fold_linear(mlp["output"])),
    )


def _frame_level_rnn(config: ModelConfig, tier: Params) -> FoldedTier:
    inputs = _input_projection(config, tier["rnn"])
    rnn, output = _rnn(config, tier["rnn"]), fold_linear(tier["output"])
    if "input_expand" not in tier:
        return FoldedTier(inputs.kernel, None, inputs.bias, rnn, output)
    expand = fold_linear(tier["input_expand"])
    bias = inputs.kernel @ expand.bias + inputs.bias
    return FoldedTier(inputs.kernel @ expand.kernel, inputs.kernel, bias, rnn, output)


def _sample_level_rnn(config: ModelConfig, tier: Params) -> FoldedSampleLevelRNN:
    inputs = _input_projection(config, tier["rnn"])
    table = inputs.kernel if config.emb_size == 0 else inputs.kernel @ tier["embedding"].T
    names = ("hidden_1", "hidden_2", "hidden_3", "output")
    return FoldedSampleLevelRNN(
        (table + inputs.bias).T,
        _rnn(config, tier["rnn"]),
        tuple(fold_linear(tier[name]) for name in names),
    )


def _rnn_layers(config: ModelConfig, rnn: Params) -> Iterator[tuple[FoldedLinear, Params]]:
    """Yields the input projection of each layer, and its other parameters."""
    for number in range(1, config.n_rnn + 1):
        layer = rnn[f"layer_{number}"]
        kernel, bias = fold_linear(layer["input"])
        yield FoldedLinear(kernel, bias + layer.get("bias", np.zeros(len(bias)))[:, None]), layer


def _input_projection(config: ModelConfig, rnn: Params) -> FoldedLinear:
    """Returns the projections of the RNN's input for the layers that read it, with biases.

    With skip connections every layer reads the input, after the output of the layer below.
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
        gates = fold_kernel(layer["recurrent_gates"])
        recurrent: FoldedGRU | FoldedLSTM = FoldedLSTM(gates)
        if config.rnn_type == "gru":
            recurrent = FoldedGRU(gates, fold_kernel(layer["recurrent_candidate"]))
        layers.append(FoldedRNNLayer(below, recurrent))
    if not config.skip_conn:
        return FoldedRNN(tuple(layers), None)
    maps = [fold_linear(rnn[f"skip_{number + 1}"]) for number in range(config.n_rnn)]
    kernel = np.concatenate([linear.kernel for linear in maps], axis=1)
    return FoldedRNN(tuple(layers), FoldedLinear(kernel, maps[0].bias))
