"""The original's best 3-tier model on MUSIC: frames of 8 and 2 samples, one GRU layer each.

Data: Beethoven's 32 piano sonatas at 16 kHz, in clips of 8 s: 3,712 to train on, 256 each to
validate and test (paper section 3).
Settings: the best that the authors found (README of the original).
Hardware: an accelerator; the original stops after seven days. Not yet trained with this code.
Bits: 1.159 per sample on test, as published (paper table 1, mean of the batch costs).

    python -m experiments.prepare --dataset=music --output=datasets/music
    python -m experiments.train --config=configs/music_3tier.py --config.data.path=datasets/music

The original's files music_train.npy, music_valid.npy and music_test.npy in a folder can
be read directly with --config.data.normalization=legacy.
"""

import ml_collections

from samplernn_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe; the defaults are the original's."""
    config = default_config()
    config.model.frame_sizes = (2, 8)
    config.model.n_rnn = 1
    config.model.dim = 1024
    config.model.emb_size = 256
    config.data.synthetic_minutes = 0.0
    config.data.batch_size = 128
    config.data.seq_len = 512
    config.train.num_steps = 200_000
    config.train.valid_every = 2000
    config.train.valid_s = 1000.0
    config.sample.every = 10_000
    config.sample.duration_s = 8.0
    return config
