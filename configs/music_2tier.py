r"""The original's best 2-tier model on MUSIC: frames of 16 samples, three GRU layers.

Data: the 32 piano sonatas of Beethoven at 16 kHz in clips of 8 s, 3,712 to train on and 256 each
to validate and test (paper section 3). Prepare any collection like it with
`python -m experiments.prepare --input=FOLDER --output=datasets/music`; the original's files
music_train.npy, music_valid.npy and music_test.npy in a folder are read as they are with
--config.data.normalization=legacy.
The settings are the best that the authors found (README of the original).
Hardware: an accelerator; the original stops after three days. Not yet trained with this code.
Bits: 1.076 per sample on test, as published (paper table 1, mean of the batch costs).

    python -m experiments.train --config=configs/music_2tier.py \
        --workdir=runs/music_2tier --config.data.path=datasets/music
"""

import ml_collections

from samplernn_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """The recipe; everything that is not set here is the original's already."""
    config = default_config()
    config.model.frame_sizes = (16,)
    config.model.n_rnn = 3
    config.model.dim = 1024
    config.model.emb_size = 256
    config.data.synthetic_minutes = 0.0
    config.data.batch_size = 128
    config.data.seq_len = 1024  # the original's n_frames=64
    config.train.num_steps = 200_000
    config.train.valid_every = 2000
    config.train.valid_s = 1000.0
    config.sample.every = 10_000
    config.sample.duration_s = 8.0
    return config
