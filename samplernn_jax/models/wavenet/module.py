"""The paper's WaveNet re-implementation, as a baseline (section 3; models/one_tier/wavent.py).

Blocks of causal convolutions of width 2 with dilations 1, 2, 4, ..., gated and residual. Every
layer also contributes to one sum, scaled by a learned number, from which four 1x1 convolutions
make the logits:

    tokens [batch, overlap + seq_len]
      block_i.layer_j  two samples `dilation` apart -> tanh(value) * sigmoid(gate)
                       -> residual, to the next layer, and skip, to the sum
      hidden_1..3, output   sum -> logits

A convolution of width 2 is a matrix on two neighbours side by side, so `Linear` does it all.
"""

from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.initializers import Initializer
from jaxtyping import Array, Bool, Float, Int

from samplernn_jax.checks import require
from samplernn_jax.models.layers import Linear
from samplernn_jax.models.options import Products
from samplernn_jax.models.types import Conditions
from samplernn_jax.models.wavenet.config import WaveNetConfig

Caches = tuple[Array, ...]
"""The latest inputs of every layer, [batch, dilation + 1, channels], for sampling.

A ring: input t is at t % (dilation + 1), where the next one is input 0.
"""

_glorot = nn.initializers.glorot_uniform()


def _glorot_of_width_2(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
    """Draws Glorot uniform for a convolution of width 2, with the kernel as a matrix."""
    return _glorot(key, (2, shape[0] // 2, shape[1]), dtype).reshape(shape)


def layer_names(config: WaveNetConfig) -> Iterator[tuple[str, int]]:
    """Yields the name and the dilation of every layer, from the input on."""
    for block in range(1, config.num_blocks + 1):
        for layer in range(1, config.layers_per_block + 1):
            yield f"block_{block}_layer_{layer}", 2 ** (layer - 1)


def amplitudes(tokens: Int[Array, "*shape"], q_levels: int) -> Float[Array, "*shape"]:
    """Returns tokens as the first layer reads them: real numbers in [-0.5, 0.5].

    They are looked up, so that training and sampling read the same to the last bit.
    """
    return jnp.take(jnp.asarray(np.arange(q_levels) / (q_levels - 1) - 0.5), tokens)


class DilatedLayer(nn.Module):
    """One gated layer with its residual and its skip output."""

    dim: int
    products: Products = Products()

    @nn.compact
    def __call__(
        self, past: Float[Array, "*time inputs"], present: Float[Array, "*time inputs"]
    ) -> tuple[Float[Array, "*time {self.dim}"], Float[Array, "*time {self.dim}"]]:
        """Returns the input of the next layer, and the skip output.

        Args:
            past: the layer's input `dilation` samples before `present`.
            present: the layer's input.
        """
        pair = jnp.concatenate([past, present], axis=-1)
        gated = self._linear(_glorot_of_width_2, use_bias=True, name="dilated")(pair)
        gate, value = jnp.split(gated, 2, axis=-1)
        hidden = jnp.tanh(value) * jax.nn.sigmoid(gate)
        mixed = self._linear(_glorot, use_bias=False, name="mix")(hidden)
        residual, skip = jnp.split(mixed, 2, axis=-1)
        scale = self.param("skip_scale", nn.initializers.ones, ())
        if present.shape[-1] == self.dim:  # the samples themselves have one channel
            residual = residual + present
        return residual, scale * skip

    def _linear(self, initializer: Initializer, use_bias: bool, name: str) -> Linear:
        return Linear(2 * self.dim, initializer, False, use_bias, self.products, name=name)


class WaveNet(nn.Module):
    """The whole model, which is called like a `SampleRNN`, but carries nothing."""

    config: WaveNetConfig

    def setup(self) -> None:
        """Declares the layers."""
        cfg = self.config
        for name, _ in layer_names(cfg):
            setattr(self, name, DilatedLayer(cfg.dim, cfg.products))
        for name in ("hidden_1", "hidden_2", "hidden_3"):
            setattr(self, name, Linear(cfg.dim, _glorot, False, products=cfg.products))
        self.output = Linear(cfg.q_levels, _glorot, False, products=cfg.products)

    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        carry: dict | None = None,
        reset: Bool[Array, " batch"] | Bool[Array, "batch frames"] | None = None,
        conditions: Conditions = (),
    ) -> tuple[Float[Array, "batch targets q_levels"], dict]:
        """Predicts every token of a segment from the `config.overlap` tokens before it.

        Args:
            tokens: int32 tokens. The first `config.overlap` are context, the rest are targets.
            carry: not used, as there is no state but the overlap.
            reset: not used, as a new clip begins with a silent overlap.
            conditions: the conditioning of each row; no layer reads it yet.

        Returns:
            The logits of each target, and {}.

        Raises:
            ValueError: there is no target.
        """
        del carry, reset, conditions
        require(
            tokens.shape[1] > self.config.overlap,
            f"tokens has {tokens.shape[1]} time steps: must be {self.config.overlap} of "
            "overlap and at least 1 target",
        )
        skip, _ = self._layers(tokens[:, :-1])
        return self._logits(skip), {}

    def caches(self, tokens: Int[Array, "batch time"]) -> Caches:
        """Returns the caches after `config.overlap - 1` tokens, for the step on the next token."""
        return self._layers(tokens)[1]

    def _layers(
        self, tokens: Int[Array, "batch time"]
    ) -> tuple[Float[Array, "batch outputs dim"], Caches]:
        """Returns the sum of all skip outputs where there is enough context, and the caches."""
        x, skips, caches = amplitudes(tokens, self.config.q_levels)[..., None], [], []
        for name, dilation in layer_names(self.config):
            caches.append(jnp.pad(x[:, x.shape[1] - dilation :], ((0, 0), (1, 0), (0, 0))))
            x, skip = getattr(self, name)(x[:, :-dilation], x[:, dilation:])
            skips.append(skip)
        time = x.shape[1]
        skips = [skip[:, skip.shape[1] - time :] for skip in skips]
        return sum(skips[1:], start=skips[0]), tuple(caches)

    def _logits(self, x: Float[Array, "*shape dim"]) -> Float[Array, "*shape q_levels"]:
        for layer in (self.hidden_1, self.hidden_2, self.hidden_3):
            x = layer(x)
            if self.config.output_activation == "relu":
                x = nn.relu(x)
        return self.output(x)
