"""The layers of the tier stack: weight-normed linear maps, GRU and LSTM, the stacked RNN.

Every layer hoists what does not depend on the recurrence out of the scan over time: weight
normalization and the input projection are computed once for all frames. The cells themselves
(`gru_step`, `lstm_step`) are pure functions, shared by training and sampling.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import Initializer
from flax.linen.initializers import orthogonal as orthogonal_init
from jaxtyping import Array, Bool, Float

# The original's "he" and None initializations (lib/ops.py): uniform, not normal.
he_init = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")
_lecun_init = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


def default_init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
    """LeCun uniform, or orthogonal for a square matrix: the original's initialization None."""
    if shape[0] == shape[1]:
        return orthogonal_init()(key, shape, dtype)
    return _lecun_init(key, shape, dtype)


def normalize_weight(
    kernel: Float[Array, "inputs outputs"], scale: Float[Array, " outputs"]
) -> Float[Array, "inputs outputs"]:
    """Weight normalization, g * v / |v| for each output column, without epsilon."""
    norm = jnp.linalg.norm(kernel, axis=0)
    return kernel * (scale / norm)[None, :]


def _weight_param(
    module: nn.Module, initializer: Initializer, shape: tuple[int, int], weight_norm: bool
) -> Float[Array, "inputs outputs"]:
    """Declares a matrix on `module`: `kernel`, and with weight norm its column gains `scale`.

    The gain starts at the norm of the initial column, so that normalization changes nothing at
    first (Salimans and Kingma 2016, and lib/ops.py of the original).
    """
    kernel = module.param("kernel", initializer, shape)
    if not weight_norm:
        return kernel
    scale = module.param("scale", lambda _: jnp.linalg.norm(kernel, axis=0))
    return normalize_weight(kernel, scale)


def matmul(x: Float[Array, "*batch inputs"], kernel: Array, dtype: str) -> Array:
    """X @ kernel with factors of `dtype`, "bfloat16" or as they are, and a result like x.

    The conversion is part of each product, so that gradients that are summed up over the steps of
    a loop are summed in float32.
    """
    if dtype == "bfloat16":
        return jnp.dot(x.astype(dtype), kernel.astype(dtype)).astype(x.dtype)
    return jnp.dot(x, kernel)


class Weight(nn.Module):
    """A matrix [inputs, outputs] on its own."""

    inputs: int
    outputs: int
    initializer: Initializer
    weight_norm: bool

    @nn.compact
    def __call__(self) -> Float[Array, "inputs outputs"]:
        """The matrix to multiply with."""
        return _weight_param(self, self.initializer, (self.inputs, self.outputs), self.weight_norm)


class Linear(nn.Module):
    """x @ W + b over the last axis."""

    outputs: int
    initializer: Initializer
    weight_norm: bool
    use_bias: bool = True
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Maps the last axis; see `matmul` for `dtype`."""
        shape = (x.shape[-1], self.outputs)
        kernel = _weight_param(self, self.initializer, shape, self.weight_norm)
        y = matmul(x, kernel, self.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.outputs,))
            y = y + jnp.broadcast_to(bias, y.shape)
        return y


class GRUWeights(NamedTuple):
    """The recurrent matrices of a GRU: update and reset gates side by side, and the candidate."""

    gates: Float[Array, "dim 2*dim"]
    candidate: Float[Array, "dim dim"]


class LSTMWeights(NamedTuple):
    """The recurrent matrix of an LSTM: gates i, f, o and the candidate g side by side."""

    gates: Float[Array, "dim 4*dim"]


RNNWeights = GRUWeights | LSTMWeights


def gru_step(
    weights: GRUWeights,
    state: Float[Array, "batch dim"],
    projected: Float[Array, "batch 3*dim"],
    dtype: str = "float32",
) -> Float[Array, "batch dim"]:
    """One GRU step, lib/ops.py `__GRUStep` of the original.

    The update gate weighs the candidate (torch's weighs the old state), and the reset gate acts
    before the candidate's matmul (torch's and Keras's after it).

    Args:
        weights: recurrent matrices.
        state: hidden state.
        projected: input projection with bias, in the order update, reset, candidate.
        dtype: see `matmul`.

    Returns:
        The next hidden state, which is also the output.
    """
    dim = state.shape[-1]
    gates = jax.nn.sigmoid(projected[:, : 2 * dim] + matmul(state, weights.gates, dtype))
    update, reset = jnp.split(gates, 2, axis=-1)
    recalled = matmul(reset * state, weights.candidate, dtype)
    candidate = jnp.tanh(projected[:, 2 * dim :] + recalled)
    return update * candidate + (1 - update) * state


def lstm_step(
    weights: LSTMWeights,
    state: Float[Array, "batch state"],
    projected: Float[Array, "batch gates"],
    dtype: str = "float32",
) -> Float[Array, "batch state"]:
    """One LSTM step, lib/ops.py `__LSTMStep` of the original.

    Args:
        weights: recurrent matrix.
        state: hidden state and cell state side by side.
        projected: input projection with bias, in the order i, f, o, g.
        dtype: see `matmul`.

    Returns:
        The next state; its first half is the output.
    """
    dim = state.shape[-1] // 2
    hidden, cell = state[:, :dim], state[:, dim:]
    gates = projected + matmul(hidden, weights.gates, dtype)
    i, f, o = jnp.split(jax.nn.sigmoid(gates[:, : 3 * dim]), 3, axis=-1)
    cell = f * cell + i * jnp.tanh(gates[:, 3 * dim :])
    return jnp.concatenate([o * jnp.tanh(cell), cell], axis=-1)


class RNNType(NamedTuple):
    """What the stacked RNN needs to know about a cell."""

    step: Callable[..., Array]
    state_size: int  # in units of dim; the output is the first dim entries of a state
    projection_size: int  # of the input, in units of dim


RNN_TYPES = {
    "gru": RNNType(gru_step, state_size=1, projection_size=3),
    "lstm": RNNType(lstm_step, state_size=2, projection_size=4),
}


class GRULayer(nn.Module):
    """The parameters of a GRU layer; biased in the input projection only."""

    dim: int
    weight_norm: bool
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch time inputs"]
    ) -> tuple[Float[Array, "batch time 3*{self.dim}"], GRUWeights]:
        """The input projection of all frames, and the recurrent matrices."""
        dim = self.dim
        projected = Linear(3 * dim, default_init, self.weight_norm, dtype=self.dtype, name="input")(
            inputs
        )
        gates = Weight(dim, 2 * dim, default_init, self.weight_norm, name="recurrent_gates")()
        candidate = Weight(
            dim, dim, orthogonal_init(), self.weight_norm, name="recurrent_candidate"
        )()
        return projected, GRUWeights(gates, candidate)


def _forget_bias_init(key: Array, shape: tuple[int, ...]) -> Array:
    """3 for the forget gate, which is second of four, else 0."""
    del key
    return jnp.repeat(jnp.array([0.0, 3.0, 0.0, 0.0]), shape[0] // 4)


class LSTMLayer(nn.Module):
    """The parameters of an LSTM layer; one bias for the cell, 3 for the forget gate."""

    dim: int
    weight_norm: bool
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch time inputs"]
    ) -> tuple[Float[Array, "batch time 4*{self.dim}"], LSTMWeights]:
        """The input projection of all frames, and the recurrent matrix."""
        dim = self.dim
        projected = Linear(
            4 * dim,
            default_init,
            self.weight_norm,
            use_bias=False,
            dtype=self.dtype,
            name="input",
        )(inputs)
        bias = self.param("bias", _forget_bias_init, (4 * dim,))
        gates = Weight(dim, 4 * dim, default_init, self.weight_norm, name="recurrent_gates")()
        return projected + jnp.broadcast_to(bias, projected.shape), LSTMWeights(gates)


LAYER_TYPES: dict[str, type[nn.Module]] = {"gru": GRULayer, "lstm": LSTMLayer}


class Restarts(NamedTuple):
    """Frames before which an RNN forgets all and begins with other states."""

    where: Bool[Array, "batch time"]
    states: Float[Array, "n_rnn state"]


class StackedRNN(nn.Module):
    """`n_rnn` recurrent layers over a sequence of frames.

    With skip connections (Graves 2013; lib/ops.py `stackedGRU` of the original) every layer above
    the first also reads the input, and the output is the sum of one linear map per layer.
    """

    dim: int
    n_rnn: int
    rnn_type: str
    skip_conn: bool
    weight_norm: bool
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch time inputs"],
        carry: Float[Array, "batch n_rnn state"],
        restarts: Restarts | None = None,
    ) -> tuple[Float[Array, "batch time dim"], Float[Array, "batch n_rnn state"]]:
        """Runs over all frames.

        Args:
            inputs: one input per frame.
            carry: the state of every layer before the first frame.
            restarts: where the states are replaced; None for nowhere.

        Returns:
            The outputs, and the state of every layer after the last frame.
        """
        below, states, outputs = inputs, [], []
        for layer in range(self.n_rnn):
            if self.skip_conn and layer > 0:
                below = jnp.concatenate([below, inputs], axis=-1)
            restart = restarts and (restarts.where, restarts.states[layer])
            below, state = self._layer(layer, below, carry[:, layer], restart)
            states.append(state)
            outputs.append(below)
        if self.skip_conn:
            below = self._sum_of_maps(outputs)
        return below, jnp.stack(states, axis=1)

    def _layer(
        self, layer: int, inputs: Array, state: Array, restart: tuple[Array, Array] | None
    ) -> tuple[Array, Array]:
        step = RNN_TYPES[self.rnn_type].step
        make_layer = LAYER_TYPES[self.rnn_type]
        projected, weights = make_layer(
            self.dim, self.weight_norm, self.dtype, name=f"layer_{layer + 1}"
        )(inputs)

        where, fresh = restart or (None, None)

        def frame(
            _: nn.Module,
            state: Array,
            weights: RNNWeights,
            fresh: Array | None,
            projected: Array,
            where: Array | None,
        ) -> tuple[Array, Array]:
            if where is not None and fresh is not None:
                state = jnp.where(where[:, None], fresh[None, :], state)
            state = step(weights, state, projected, self.dtype)
            return state, state[:, : self.dim]

        scan = nn.scan(
            frame,
            variable_broadcast="params",
            in_axes=(nn.broadcast, nn.broadcast, 1, 1),
            out_axes=1,
        )
        state, outputs = scan(self, state, weights, fresh, projected, where)
        return outputs, state

    def _sum_of_maps(self, outputs: list[Array]) -> Array:
        maps = [
            Linear(
                self.dim,
                he_init,
                self.weight_norm,
                use_bias=layer == 0,
                dtype=self.dtype,
                name=f"skip_{layer + 1}",
            )(output)
            for layer, output in enumerate(outputs)
        ]
        return sum(maps[1:], start=maps[0])
