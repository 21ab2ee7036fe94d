"""The size of a WaveNet and its amount of computation, by arithmetic."""

from samplernn_jax.models.counting import linear_parameters, product_flop
from samplernn_jax.models.folded import num_bytes
from samplernn_jax.models.wavenet.config import WaveNetConfig
from samplernn_jax.models.wavenet.fold import FoldedWaveNet
from samplernn_jax.models.wavenet.module import layer_names


def num_parameters(config: WaveNetConfig) -> int:
    """Returns the number of parameters."""
    dim, num_layers = config.dim, config.num_blocks * config.layers_per_block
    inputs = 1 + (num_layers - 1) * dim
    of_layers = 2 * dim * (2 * inputs + num_layers) + num_layers * (2 * dim * dim + 1)
    of_head = 3 * linear_parameters(dim, dim, False) + linear_parameters(
        dim, config.q_levels, False
    )
    return of_layers + of_head


def state_size(config: WaveNetConfig) -> int:
    """Returns the number of values in a sequence's state while it is sampled."""
    inputs = config.overlap - 1 + config.num_blocks * config.layers_per_block
    return inputs * config.dim - 2 * (config.dim - 1) + 1  # the first layer has one channel


def bytes_per_sample(model: FoldedWaveNet) -> float:
    """Returns the bytes of weights that one sample reads, without caches: all of them."""
    return num_bytes(model)


def flop_per_sample(config: WaveNetConfig, seq_len: int) -> float:
    """Returns the FLOP of the matrix products of a training step, per sample.

    Args:
        config: the model's configuration.
        seq_len: the number of targets in a segment; the layers also run over its overlap.
    """
    dim, total = config.dim, 0.0
    times = float(config.overlap - 1 + seq_len)  # of the input, and then of each layer's output
    for number, (_, dilation) in enumerate(layer_names(config)):
        times -= dilation
        inputs, is_first = (1, True) if number == 0 else (dim, False)
        total += product_flop(2 * inputs, 2 * dim, times, input_is_data=is_first)
        total += product_flop(dim, 2 * dim, times)
    of_head = 3 * product_flop(dim, dim, 1.0) + product_flop(dim, config.q_levels, 1.0)
    return total / seq_len + of_head
