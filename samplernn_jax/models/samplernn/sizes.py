"""The size of a SampleRNN and its amount of computation, by arithmetic."""

from samplernn_jax.models.counting import linear_parameters, product_flop
from samplernn_jax.models.folded import num_bytes
from samplernn_jax.models.samplernn.config import ModelConfig
from samplernn_jax.models.samplernn.fold import FoldedSampleLevelRNN, FoldedSampleRNN
from samplernn_jax.models.samplernn.module import tier_ratio
from samplernn_jax.models.samplernn.rnn import RNN_TYPES


def num_parameters(config: ModelConfig) -> int:
    """Returns the number of parameters."""
    if not config.frame_sizes:
        return _only_tier_parameters(config)
    tiers = range(2, len(config.frame_sizes) + 2)
    frame_tiers = sum(_frame_tier_parameters(config, tier) for tier in tiers)
    return _lowest_tier_parameters(config) + frame_tiers


def state_size(config: ModelConfig) -> int:
    """Returns the number of values in a sequence's state while it is sampled."""
    states = config.n_rnn * max(1, len(config.frame_sizes))
    return states * RNN_TYPES[config.rnn_type].state_size * config.dim + config.top_frame_size


def tier_stack_bytes(model: FoldedSampleRNN) -> float:
    """Returns the bytes of weights that one sample of two or more tiers reads, without caches.

    Only one row of the tables is read for each sample that the first layer looks back on.
    """
    frame_sizes = [tier.frame.shape[1] for tier in model.tiers]
    total = num_bytes(model.head) + frame_sizes[0] * num_bytes(model.tables[0])
    for tier, size, size_above in zip(model.tiers, frame_sizes, [*frame_sizes[1:], 1], strict=True):
        # The vectors for all frames below a frame are projected at once.
        total += num_bytes(tier._replace(from_above=None)) / size
        total += num_bytes(tier.from_above) / size_above
    return total


def only_tier_bytes(model: FoldedSampleLevelRNN) -> float:
    """Returns the bytes of weights that one sample of the 1-tier model reads, without caches."""
    return num_bytes(model.head) + num_bytes(model.rnn) + num_bytes(model.table[0])


def flop_per_sample(config: ModelConfig, samples: int) -> float:
    """Returns the FLOP of the matrix products of a training step, per sample.

    The tables of tier 1 are made once for a step, and looked up instead of multiplied with.

    Args:
        config: the model's configuration.
        samples: the targets of a step, which share the work that is done once per step.
    """
    dim, sizes = config.dim, config.frame_sizes
    total = 0.0
    for tier, size in enumerate(sizes):
        is_top = tier == len(sizes) - 1
        below = sizes[tier - 1] if tier else 1
        if not is_top:
            total += product_flop(size, dim, 1 / size, input_is_data=True)
        total += _rnn_flop(config, size if is_top else dim, 1 / size, is_top)
        total += product_flop(dim, size // below * dim, 1 / size)
    if not sizes:
        total += _rnn_flop(config, config.emb_size or config.q_levels, 1.0, config.emb_size == 0)
        total += product_flop(dim, dim, 1.0)
    elif config.emb_size:
        total += product_flop(config.emb_size, sizes[0] * config.q_levels * dim, 1 / samples)
    return total + 2 * product_flop(dim, dim, 1.0) + product_flop(dim, config.q_levels, 1.0)


def _rnn_flop(config: ModelConfig, inputs: int, times: float, input_is_data: bool) -> float:
    """Returns the FLOP of a stacked RNN that takes `times` steps per sample."""
    dim, gates = config.dim, RNN_TYPES[config.rnn_type].projection_size
    total = product_flop(inputs, gates * dim, times, input_is_data)
    later = dim + (inputs if config.skip_conn else 0)
    total += (config.n_rnn - 1) * product_flop(later, gates * dim, times)
    total += config.n_rnn * product_flop(dim, gates * dim, times)
    if config.skip_conn:
        total += config.n_rnn * product_flop(dim, dim, times)
    return total


def _rnn_parameters(config: ModelConfig, inputs: int) -> int:
    """Returns the number of parameters of the layers, of skip connections, and of h0."""
    dim, norm, kind = config.dim, config.weight_norm, RNN_TYPES[config.rnn_type]
    width = kind.projection_size * dim
    recurrent = linear_parameters(dim, width, norm, bias=False)
    later = dim + inputs if config.skip_conn else dim
    total = linear_parameters(inputs, width, norm) + recurrent
    total += (config.n_rnn - 1) * (linear_parameters(later, width, norm) + recurrent)
    if config.skip_conn:
        total += config.n_rnn * linear_parameters(dim, dim, norm, bias=False) + dim
    return total + config.n_rnn * kind.state_size * dim


def _only_tier_parameters(config: ModelConfig) -> int:
    dim, norm = config.dim, config.weight_norm
    return (
        config.q_levels * config.emb_size
        + _rnn_parameters(config, config.emb_size or config.q_levels)
        + 3 * linear_parameters(dim, dim, norm)
        + linear_parameters(dim, config.q_levels, norm)
    )


def _lowest_tier_parameters(config: ModelConfig) -> int:
    dim, norm = config.dim, config.weight_norm
    window = config.frame_sizes[0] * (config.emb_size or config.q_levels)
    return (
        config.q_levels * config.emb_size
        + linear_parameters(window, dim, norm, bias=False)
        + 2 * linear_parameters(dim, dim, norm)
        + linear_parameters(dim, config.q_levels, norm)
    )


def _frame_tier_parameters(config: ModelConfig, tier: int) -> int:
    dim, norm, frame_size = config.dim, config.weight_norm, config.frame_sizes[tier - 2]
    total = linear_parameters(dim, tier_ratio(config, tier) * dim, norm)
    if tier <= len(config.frame_sizes):
        return total + linear_parameters(frame_size, dim, norm) + _rnn_parameters(config, dim)
    if config.independent_preds:
        total += linear_parameters(dim, frame_size * config.q_levels, norm)
    return total + _rnn_parameters(config, frame_size)
