r"""The paper's WaveNet re-implementation on Blizzard, for the paper's table.

Data: 20.5 hours of one female speaker (Blizzard Challenge 2013, for which you need the right) at
16 kHz, in clips of 8 s: 9,216 to train on, 768 each to validate and test (paper section 3).
Settings: the paper does not give them for this set; those of music_wavenet.
Hardware: an accelerator; the original stops after 60 hours. Not yet trained with this code.
Bits: 1.480 per sample on test, as published (paper table 1, mean of the batch costs). Published
with linear output layers, an oversight; --config.model.output_activation=none gives them.

    python -m experiments.prepare --dataset=blizzard --output=datasets/blizzard --input=FOLDER
    python -m experiments.train --config=configs/blizzard_wavenet.py \
        --config.data.path=datasets/blizzard

The original's files Blizzard9k_train.npy, Blizzard9k_valid.npy and Blizzard9k_test.npy in a folder
are read as they are with --config.data.normalization=legacy.
"""

import ml_collections

from configs import music_wavenet


def get_config() -> ml_collections.ConfigDict:
    """The settings of music_wavenet."""
    return music_wavenet.get_config()
