"""Recurrent layers: GRU and LSTM cells, their scan over frames, and the stack of them.

Everything that does not depend on the recurrence is hoisted out of the scan over time: weight
normalization, the input projection, and in the backward pass the gradients of the matrices. The
cells themselves (`gru_step`, `lstm_step`) are pure functions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import orthogonal as orthogonal_init
from jaxtyping import Array, Bool, Float

from samplernn_jax.models.layers import Linear, Weight, default_init, he_init, matmul
from samplernn_jax.models.options import Products


class GRUWeights(NamedTuple):
    """The recurrent matrices of a GRU: update and reset gates side by side, and the candidate."""

    gates: Float[Array, "dim 2*dim"]
    candidate: Float[Array, "dim dim"]


class LSTMWeights(NamedTuple):
    """The recurrent matrix of an LSTM: gates i, f, o and the candidate g side by side."""

    gates: Float[Array, "dim 4*dim"]


RNNWeights = GRUWeights | LSTMWeights

Factors = tuple[Array, ...]
"""The factors with which a step multiplied its matrices, in the order of the matrices."""


def gru_step(
    weights: GRUWeights,
    state: Float[Array, "batch dim"],
    projected: Float[Array, "batch 3*dim"],
    products: Products,
) -> tuple[Float[Array, "batch dim"], Factors]:
    """Computes one GRU step, as lib/ops.py `__GRUStep` of the original.

    The update gate weighs the candidate (torch's weighs the old state), and the reset gate acts
    before the candidate's matmul (torch's and Keras's after it).

    Args:
        weights: the recurrent matrices.
        state: the hidden state.
        projected: the input projection with bias, in the order update, reset, candidate.
        products: see `matmul`.

    Returns:
        The next hidden state, which is also the output, and the factors.
    """
    dim = state.shape[-1]
    gates = jax.nn.sigmoid(projected[:, : 2 * dim] + matmul(state, weights.gates, products))
    update, reset = jnp.split(gates, 2, axis=-1)
    recalled = reset * state
    candidate = jnp.tanh(projected[:, 2 * dim :] + matmul(recalled, weights.candidate, products))
    return update * candidate + (1 - update) * state, (state, recalled)


def lstm_step(
    weights: LSTMWeights,
    state: Float[Array, "batch state"],
    projected: Float[Array, "batch gates"],
    products: Products,
) -> tuple[Float[Array, "batch state"], Factors]:
    """Computes one LSTM step, as lib/ops.py `__LSTMStep` of the original.

    Args:
        weights: the recurrent matrix.
        state: the hidden state and the cell state side by side.
        projected: the input projection with bias, in the order i, f, o, g.
        products: see `matmul`.

    Returns:
        The next state, whose first half is the output, and the factors.
    """
    dim = state.shape[-1] // 2
    hidden, cell = state[:, :dim], state[:, dim:]
    gates = projected + matmul(hidden, weights.gates, products)
    i, f, o = jnp.split(jax.nn.sigmoid(gates[:, : 3 * dim]), 3, axis=-1)
    cell = f * cell + i * jnp.tanh(gates[:, 3 * dim :])
    return jnp.concatenate([o * jnp.tanh(cell), cell], axis=-1), (hidden,)


class RNNType(NamedTuple):
    """The properties of a cell that the stacked RNN needs."""

    step: Callable[..., tuple[Array, Factors]]
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
    products: Products = Products()

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch time inputs"]
    ) -> tuple[Float[Array, "batch time 3*{self.dim}"], GRUWeights]:
        """Returns the input projection of all frames, and the recurrent matrices."""
        dim = self.dim
        projected = Linear(
            3 * dim, default_init, self.weight_norm, products=self.products, name="input"
        )(inputs)
        gates = Weight(dim, 2 * dim, default_init, self.weight_norm, name="recurrent_gates")()
        candidate = Weight(
            dim, dim, orthogonal_init(), self.weight_norm, name="recurrent_candidate"
        )()
        return projected, GRUWeights(gates, candidate)


def _forget_bias_init(key: Array, shape: tuple[int, ...]) -> Array:
    """Returns 3 for the forget gate, which is the second of four, and 0 for the others."""
    del key
    return jnp.repeat(jnp.array([0.0, 3.0, 0.0, 0.0]), shape[0] // 4)


class LSTMLayer(nn.Module):
    """The parameters of an LSTM layer; one bias for the cell, 3 for the forget gate."""

    dim: int
    weight_norm: bool
    products: Products = Products()

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch time inputs"]
    ) -> tuple[Float[Array, "batch time 4*{self.dim}"], LSTMWeights]:
        """Returns the input projection of all frames, and the recurrent matrix."""
        dim = self.dim
        projected = Linear(
            4 * dim,
            default_init,
            self.weight_norm,
            use_bias=False,
            products=self.products,
            name="input",
        )(inputs)
        bias = self.param("bias", _forget_bias_init, (4 * dim,))
        gates = Weight(dim, 4 * dim, default_init, self.weight_norm, name="recurrent_gates")()
        return projected + jnp.broadcast_to(bias, projected.shape), LSTMWeights(gates)


LAYER_TYPES: dict[str, type[nn.Module]] = {"gru": GRULayer, "lstm": LSTMLayer}


class Restarts(NamedTuple):
    """The frames before which an RNN starts again, with other states."""

    where: Bool[Array, "batch time"]
    states: Float[Array, "*n_rnn state"]


class Recurrence(nn.Module):
    """A cell run over all frames, without parameters of its own.

    The gradients of the matrices are computed once for all frames. In the backward pass of a plain
    scan each frame adds an outer product to sums as large as the matrices, which for a small batch
    takes longer than everything else. A matrix's product is added to a slice of the input
    projection, which has the same gradient. So these sums are one product of that gradient with the
    factors.
    """

    rnn_type: str
    products: Products

    @nn.compact
    def __call__(
        self, weights: RNNWeights, state: Array, projected: Array, restarts: Restarts | None
    ) -> tuple[Array, Array]:
        """Returns the last state [batch, state], and the outputs [batch, time, dim]."""

        def run(module: Recurrence, weights: RNNWeights, *data: Any) -> tuple[Array, Array]:
            return module.scan(weights, *data)[0]

        def forward(module: Recurrence, weights: RNNWeights, *data: Any) -> tuple[Any, Any]:
            result, backward_of_data, factors = nn.vjp(
                lambda module, *data: module.scan(weights, *data), module, *data, has_aux=True
            )
            return result, (backward_of_data, weights, factors)

        def backward(residuals: Any, cotangents: Any) -> tuple[Any, ...]:
            backward_of_data, weights, factors = residuals
            of_variables, *of_data = backward_of_data(cotangents)
            of_projected = of_data[1]
            return (of_variables, self._weight_gradients(weights, factors, of_projected), *of_data)

        return nn.custom_vjp(run, forward, backward)(self, weights, state, projected, restarts)

    def scan(
        self, weights: RNNWeights, state: Array, projected: Array, restarts: Restarts | None
    ) -> tuple[tuple[Array, Array], Factors]:
        """Returns last state, outputs, and the factors [batch, time, rows of the matrix]."""
        kind = RNN_TYPES[self.rnn_type]
        dim = projected.shape[-1] // kind.projection_size

        def frame(
            _: nn.Module, state: Array, projected: Array, where: Array | None
        ) -> tuple[Array, tuple[Array, Factors]]:
            if restarts is not None and where is not None:
                state = jnp.where(where[:, None], restarts.states[None, :], state)
            state, factors = kind.step(weights, state, projected, self.products)
            return state, (state[:, :dim], factors)

        where = None if restarts is None else restarts.where
        scan = nn.scan(frame, variable_broadcast="params", in_axes=1, out_axes=1)
        last, (outputs, factors) = scan(self, state, projected, where)
        return (last, outputs), factors

    def _weight_gradients(
        self, weights: RNNWeights, factors: Factors, of_projected: Array
    ) -> RNNWeights:
        gradients, first = [], 0
        for weight, factor in zip(weights, factors, strict=True):
            of_product = of_projected[..., first : first + weight.shape[1]]
            first += weight.shape[1]
            rows = factor.reshape(-1, weight.shape[0])
            gradients.append(matmul(rows.T, of_product.reshape(-1, weight.shape[1]), self.products))
        return type(weights)(*gradients)


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
    products: Products = Products()

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch time inputs"],
        carry: Float[Array, "batch n_rnn state"],
        restarts: Restarts | None = None,
    ) -> tuple[Float[Array, "batch time dim"], Float[Array, "batch n_rnn state"]]:
        """Runs over all frames.

        Args:
            inputs: the input of each frame.
            carry: the state of every layer before the first frame.
            restarts: the frames at which the states are replaced; None for none.

        Returns:
            The outputs, and the state of every layer after the last frame.
        """
        below, states, outputs = inputs, [], []
        for layer in range(self.n_rnn):
            if self.skip_conn and layer > 0:
                below = jnp.concatenate([below, inputs], axis=-1)
            of_layer = restarts and restarts._replace(states=restarts.states[layer])
            below, state = self._layer(layer, below, carry[:, layer], of_layer)
            states.append(state)
            outputs.append(below)
        if self.skip_conn:
            below = self._sum_of_maps(outputs)
        return below, jnp.stack(states, axis=1)

    def _layer(
        self, layer: int, inputs: Array, state: Array, restarts: Restarts | None
    ) -> tuple[Array, Array]:
        make_layer = LAYER_TYPES[self.rnn_type]
        projected, weights = make_layer(
            self.dim, self.weight_norm, self.products, name=f"layer_{layer + 1}"
        )(inputs)
        recurrence = Recurrence(self.rnn_type, self.products, name=f"recurrence_{layer + 1}")
        state, outputs = recurrence(weights, state, projected, restarts)
        return outputs, state

    def _sum_of_maps(self, outputs: list[Array]) -> Array:
        maps = [
            Linear(
                self.dim,
                he_init,
                self.weight_norm,
                use_bias=layer == 0,
                products=self.products,
                name=f"skip_{layer + 1}",
            )(output)
            for layer, output in enumerate(outputs)
        ]
        return sum(maps[1:], start=maps[0])
