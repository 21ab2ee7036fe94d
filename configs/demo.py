"""draft."""

import ml_collections

from samplernn_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """The recipe."""
    config = default_config()
    config.model.frame_sizes = (4, 16)
    config.model.dim = 128
    config.model.emb_size = 64
    config.data.synthetic_minutes = 6.0
    config.data.batch_size = 16
    config.data.seq_len = 256
    config.train.num_steps = 3000
    config.train.valid_every = 500
    return config
