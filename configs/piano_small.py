"""draft."""

import ml_collections

from samplernn_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """The recipe."""
    config = default_config()
    config.model.frame_sizes = (4, 16)
    config.model.dim = 256
    config.model.emb_size = 128
    config.data.synthetic_minutes = 0.0
    config.data.batch_size = 32
    config.data.seq_len = 256
    config.train.num_steps = 4000
    config.train.valid_every = 500
    config.train.valid_segments = 100
    config.train.keep_latest = 2
    config.sample.every = 2000
    config.sample.duration_s = 5.0
    return config
