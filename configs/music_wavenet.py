"""The paper's WaveNet re-implementation on MUSIC, for the paper's table.

Data: Beethoven's 32 piano sonatas at 16 kHz, in clips of 8 s: 3,712 to train on, 256 each to
validate and test (paper section 3).
Settings: those of the example in the original's wavent.py: 4 blocks of 10 dilated layers, 4,093
samples of context.
Hardware: an accelerator; the original stops after 60 hours. Not yet trained with this code.
Bits: 1.464 per sample on test, as published (paper table 1, mean of the batch costs). Published
with linear output layers, by oversight; --config.model.output_activation=none does the same.

    python -m experiments.prepare --dataset=music --output=datasets/music
    python -m experiments.train --config=configs/music_wavenet.py --config.data.path=datasets/music

The original's files music_train.npy, music_valid.npy and music_test.npy in a folder can
be read directly with --config.data.normalization=legacy.
"""

import ml_collections

from samplernn_jax.config import WaveNetConfig, default_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe."""
    config = default_config(WaveNetConfig())
    config.model.num_blocks = 4
    config.model.layers_per_block = 10
    config.model.dim = 64
    config.data.synthetic_minutes = 0.0
    config.data.batch_size = 8
    config.data.seq_len = 1600
    config.optimizer.learning_rate = 1e-4
    config.train.num_steps = 500_000
    config.train.valid_every = 5000
    config.train.valid_s = 500.0
    config.sample.every = 25_000
    config.sample.duration_s = 8.0
    return config
