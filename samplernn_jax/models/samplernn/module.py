"""The tier stack (paper section 2): frame-level RNNs above a sample-level MLP.

Tier K reads the longest frames and hands down one vector per frame of the tier below; tier 2
hands down one per sample to tier 1, which predicts the sample. Reading from the top:

    tokens [batch, overlap + seq_len]
      tier_K  FrameLevelRNN    frame -> RNN -> vectors for the frames of tier K-1
      ...
      tier_2  FrameLevelRNN    InputExpand(frame) + from_above -> RNN -> vectors for the samples
      tier_1  SampleLevelMLP   embedding(last frame_size tokens) + from_above -> logits

With one tier only, the paper's RNN baseline, `SampleLevelRNN` predicts samples from samples.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import Initializer
from jaxtyping import Array, Bool, Float, Int

from samplernn_jax.checks import require
from samplernn_jax.models.layers import Linear, Weight, default_init, he_init, matmul
from samplernn_jax.models.samplernn.config import ModelConfig
from samplernn_jax.models.samplernn.rnn import RNN_TYPES, Restarts, StackedRNN
from samplernn_jax.models.samplernn.tables import add_rows, look_up
from samplernn_jax.models.types import Carry, Conditions, Params


def frame_values(tokens: Int[Array, "*shape"], q_levels: int) -> Float[Array, "*shape"]:
    """Returns tokens as the frame-level tiers read them: real numbers in [-2, 2)."""
    return 2.0 * (tokens / (q_levels // 2) - 1.0)


def _embedding(module: nn.Module, config: ModelConfig) -> Float[Array, "q_levels emb_size"]:
    """Declares the embedding of tokens on a tier's module."""
    return module.param(
        "embedding", nn.initializers.normal(1.0), (config.q_levels, config.emb_size)
    )


def _linear(config: ModelConfig, outputs: int, initializer: Initializer, name: str) -> Linear:
    return Linear(outputs, initializer, config.weight_norm, products=config.products, name=name)


def _run_rnn(
    module: nn.Module,
    config: ModelConfig,
    inputs: Float[Array, "batch frames inputs"],
    carry: Float[Array, "batch n_rnn state"] | None,
    reset: Bool[Array, "batch frames"] | None,
) -> tuple[Float[Array, "batch frames dim"], Float[Array, "batch n_rnn state"]]:
    """Declares h0 and the RNN on a tier's module, and runs the RNN over a segment's frames."""
    size = RNN_TYPES[config.rnn_type].state_size * config.dim
    h0 = module.param("h0", nn.initializers.zeros, (config.n_rnn, size))
    if not config.learn_h0:
        h0 = jax.lax.stop_gradient(h0)
    if carry is None:
        carry = jnp.broadcast_to(h0, (len(inputs), *h0.shape))
    rnn = StackedRNN(
        config.dim,
        config.n_rnn,
        config.rnn_type,
        config.skip_conn,
        config.weight_norm,
        config.products,
        name="rnn",
    )
    return rnn(inputs, carry, None if reset is None else Restarts(reset, h0))


class SampleLevelMLP(nn.Module):
    """Tier 1 below frame-level tiers: predicts every sample from the `frame_size` tokens before it.

    The first layer is linear in the embedded tokens, so embedding and matrix are multiplied once
    into one table per position and the tables are looked up, which is far cheaper than the
    matmul over all samples and exactly the same.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch window"],
        from_above: Float[Array, "batch time dim"],
    ) -> Float[Array, "batch time q_levels"]:
        """Returns the logits of the sample that follows each window of `frame_size` tokens.

        Args:
            tokens: the tokens of all windows, each of which begins one token after the one before.
            from_above: the vectors from tier 2, one for each sample.
        """
        cfg = self.config
        x = add_rows(from_above, self._tables(), tokens)
        # There is no activation between L1 and L2, as in the original.
        x = nn.relu(_linear(cfg, cfg.dim, he_init, "hidden_2")(x))
        x = nn.relu(_linear(cfg, cfg.dim, he_init, "hidden_3")(x))
        return _linear(cfg, cfg.q_levels, default_init, "output")(x)

    def _tables(self) -> Float[Array, "frame_size q_levels dim"]:
        cfg = self.config
        frame_size, size = cfg.frame_sizes[0], cfg.emb_size or cfg.q_levels
        weight = Weight(frame_size * size, cfg.dim, he_init, cfg.weight_norm, name="hidden_1")()
        weight = weight.reshape(frame_size, size, cfg.dim)
        if cfg.emb_size == 0:  # one-hot: the rows of the matrix are the tables
            return weight
        embedding = _embedding(self, cfg)
        return jax.vmap(lambda kernel: matmul(embedding, kernel, cfg.products))(weight)


class SampleLevelRNN(nn.Module):
    """Tier 1 on its own: an RNN over samples, the paper's baseline (one_tier.py)."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        carry: Float[Array, "batch n_rnn state"] | None,
        reset: Bool[Array, "batch time"] | None,
    ) -> tuple[Float[Array, "batch time q_levels"], Float[Array, "batch n_rnn state"]]:
        """Returns the logits of the sample after each token, and the states after the last token.

        Args:
            tokens: the samples before the predicted ones.
            carry: the states before the first of them; None for h0.
            reset: the tokens before which the states become h0.
        """
        cfg = self.config
        if cfg.emb_size == 0:
            inputs = jax.nn.one_hot(tokens, cfg.q_levels)
        else:
            inputs = look_up(_embedding(self, cfg), tokens)
        x, carry = _run_rnn(self, cfg, inputs, carry, reset)
        for number in (1, 2, 3):
            name = f"hidden_{number}"
            x = nn.relu(_linear(cfg, cfg.dim, he_init, name)(x))
        return _linear(cfg, cfg.q_levels, he_init, "output")(x), carry


class FrameLevelRNN(nn.Module):
    """A tier above the first: an RNN over frames that hands vectors to the tier below.

    Attributes:
        config: the configuration of the whole model.
        ratio: the number of outputs per frame, one for each frame (or sample) of the tier below.
    """

    config: ModelConfig
    ratio: int

    @nn.compact
    def __call__(
        self,
        frames: Float[Array, "batch frames frame_size"],
        from_above: Float[Array, "batch frames dim"] | None,
        carry: Float[Array, "batch n_rnn state"] | None,
        reset: Bool[Array, "batch frames"] | None,
    ) -> tuple[Float[Array, "batch outputs dim"], Float[Array, "batch n_rnn state"]]:
        """Runs over the frames of a segment.

        Args:
            frames: see `frame_values`.
            from_above: the vectors from the tier above; None in the top tier, whose RNN reads the
                raw frame.
            carry: the states before the first frame; None for h0.
            reset: the frames before which the states become h0.

        Returns:
            The vectors for the tier below, and the states after the last frame.
        """
        cfg = self.config
        inputs = frames
        if from_above is not None:
            expand = _linear(cfg, cfg.dim, he_init, "input_expand")
            inputs = expand(frames) + from_above
        batch, _, frame_size = frames.shape
        states, carry = _run_rnn(self, cfg, inputs, carry, reset)
        if cfg.independent_preds and from_above is None:
            size = frame_size * cfg.q_levels
            head = _linear(cfg, size, he_init, "independent_preds")
            self.sow(
                "intermediates",
                "independent_logits",
                head(states).reshape(batch, -1, cfg.q_levels),
                init_fn=lambda: None,
                reduce_fn=lambda _, logits: logits,
            )
        outputs = _linear(cfg, self.ratio * cfg.dim, he_init, "output")(states)
        return outputs.reshape(batch, -1, cfg.dim), carry


class SampleRNN(nn.Module):
    """The whole model, whose parameters are keyed by tier: tier_1, tier_2, ... tier_K.

    With `independent_preds` it leaves the logits [batch, targets, q_levels] of the top tier's
    independent predictions in the collection "intermediates", see `independent_logits`.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        carry: Carry | None = None,
        reset: Bool[Array, " batch"] | Bool[Array, "batch frames"] | None = None,
        conditions: Conditions = (),
    ) -> tuple[Float[Array, "batch targets q_levels"], Carry]:
        """Predicts every target of a segment from all tokens before it.

        Args:
            tokens: int32 tokens. The first `config.overlap` are context, the rest are targets;
                their number is a multiple of the top frame size.
            carry: the carry returned for the segment before; None starts every row at h0.
            reset: the rows that start a new clip, and so at h0, or for each row the frames of the
                top tier at which a new clip starts in the segment; None continues every row.
            conditions: the conditioning of each row; no tier reads it yet.

        Returns:
            The logits of each target, and the carry for the next segment.

        Raises:
            ValueError: the number of targets is not a multiple of the top frame size, or `reset`
                is for another number of frames.
        """
        del conditions
        cfg = self.config
        overlap = cfg.overlap
        seq_len = tokens.shape[1] - overlap
        require(
            seq_len > 0 and seq_len % overlap == 0,
            f"tokens has {tokens.shape[1]} time steps: must be {overlap} of overlap and a "
            f"positive multiple of the top frame size {overlap}",
        )
        carry = carry or {}
        num_frames = seq_len // overlap
        if reset is not None and reset.ndim == 2:
            has = reset.shape[1]
            require(has == num_frames, f"reset has {has} frames: must be {num_frames}")
        if reset is not None and reset.ndim == 1:
            later = jnp.zeros((len(tokens), num_frames - 1), bool)
            reset = jnp.concatenate([reset[:, None], later], axis=1)
        if not cfg.frame_sizes:
            tier_1 = SampleLevelRNN(cfg, name="tier_1")
            logits, state = tier_1(tokens[:, :-1], carry.get("tier_1"), reset)
            return logits, {"tier_1": state}
        new_carry, from_above = {}, None
        for tier in range(len(cfg.frame_sizes) + 1, 1, -1):
            name, size = f"tier_{tier}", cfg.frame_sizes[tier - 2]
            # The last frame only matters to samples after the segment; the next segment reads it.
            frames = frame_values(tokens[:, overlap - size : -size], cfg.q_levels)
            frames = frames.reshape(frames.shape[0], -1, size)
            from_above, new_carry[name] = FrameLevelRNN(cfg, tier_ratio(cfg, tier), name=name)(
                frames, from_above, carry.get(name), _spread(reset, frames.shape[1])
            )
        windows = tokens[:, overlap - cfg.frame_sizes[0] : -1]
        return SampleLevelMLP(cfg, name="tier_1")(windows, from_above), new_carry


def _spread(
    reset: Bool[Array, "batch frames"] | None, num_frames: int
) -> Bool[Array, "batch {num_frames}"] | None:
    """Returns resets of the top tier at the first frame of a lower tier inside each top frame."""
    if reset is None:
        return None
    ratio = num_frames // reset.shape[1]
    return jnp.pad(reset[:, :, None], ((0, 0), (0, 0), (0, ratio - 1))).reshape(len(reset), -1)


def tier_ratio(config: ModelConfig, tier: int) -> int:
    """Returns the number of frames of the tier below (samples, below tier 2) in one of `tier`."""
    sizes = (1, *config.frame_sizes)
    return sizes[tier - 1] // sizes[tier - 2]


def tiers_with_rnn(config: ModelConfig) -> list[str]:
    """Returns the names of the tiers that have states, from the bottom up."""
    numbers = range(2, len(config.frame_sizes) + 2) if config.frame_sizes else (1,)
    return [f"tier_{number}" for number in numbers]


def initial_carry(config: ModelConfig, params: Params, batch_size: int) -> Carry:
    """Returns the states h0 of every tier that has an RNN, for a batch."""
    h0 = {tier: params[tier]["h0"] for tier in tiers_with_rnn(config)}
    return {tier: jnp.broadcast_to(state, (batch_size, *state.shape)) for tier, state in h0.items()}


def independent_logits(
    config: ModelConfig, intermediates: Params
) -> Float[Array, "batch targets q_levels"]:
    """Returns the independent predictions from the collection of `mutable=["intermediates"]`."""
    return intermediates[f"tier_{len(config.frame_sizes) + 1}"]["independent_logits"]
