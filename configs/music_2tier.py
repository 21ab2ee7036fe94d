"""The original's best 2-tier model on MUSIC: frames of 16 samples, three GRU layers.

Data: Beethoven's 32 piano sonatas at 16 kHz, in clips of 8 s: 3,712 to train on, 256 each to
validate and test (paper section 3).
Settings: the best that the authors found (README of the original).
Hardware: an accelerator; the original stops after three days. Not yet trained with this code.
Bits: 1.076 per sample on test, as published (paper table 1, mean of the batch costs).

    python -m experiments.prepare --dataset=music --output=datasets/music
    python -m experiments.train --config=configs/music_2tier.py --config.data.path=datasets/music

The original's files music_train.npy, music_valid.npy and music_test.npy in a folder can
be read directly with --config.data.normalization=legacy.
"""

import ml_collections

from configs import music_3tier


def get_config() -> ml_collections.ConfigDict:
    """Returns the settings of music_3tier with other tiers and segments."""
    config = music_3tier.get_config()
    config.model.frame_sizes = (16,)
    config.model.n_rnn = 3
    config.data.seq_len = 1024  # the original's n_frames=64
    return config
