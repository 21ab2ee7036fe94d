"""draft."""

import ml_collections

from samplernn_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """The recipe."""
    config = default_config()
    config.model.frame_sizes = (2, 8)
    config.model.dim = 128
    config.model.emb_size = 64
    config.data.synthetic_minutes = 6.0
    config.data.batch_size = 32
    config.data.seq_len = 256
    config.train.num_steps = 1200
    config.train.valid_every = 200
    config.train.log_every = 20
    return config
