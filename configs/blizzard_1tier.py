r"""The 1-tier RNN baseline on Blizzard, for the paper's table.

Data: 20.5 hours of one female speaker (Blizzard Challenge 2013, licence needed) at
16 kHz, in clips of 8 s: 9,216 to train on, 768 each to validate and test (paper section 3).
Settings: those of music_1tier, as the paper gives none for this set.
Hardware: an accelerator; the original stops after seven days. Not yet trained with this code.
Bits: 1.434 per sample on test, as published (paper table 1, mean of the batch costs).

    python -m experiments.prepare --dataset=blizzard --output=datasets/blizzard --input=FOLDER
    python -m experiments.train --config=configs/blizzard_1tier.py \
        --config.data.path=datasets/blizzard

The original's files Blizzard9k_train.npy, Blizzard9k_valid.npy and Blizzard9k_test.npy in a folder
can be read directly with --config.data.normalization=legacy.
"""

import ml_collections

from configs import music_1tier


def get_config() -> ml_collections.ConfigDict:
    """Returns the settings of music_1tier."""
    return music_1tier.get_config()
