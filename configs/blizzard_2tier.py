r"""The 2-tier SampleRNN on BLIZZ, for the paper's table.

Data: 20.5 hours of one female speaker, from the Blizzard Challenge 2013, at 16 kHz in clips of 8 s,
9,216 to train on and 768 each to validate and test (paper section 3; you need the right to it).
Prepare the recordings with `python -m experiments.prepare --input=FOLDER
--output=datasets/blizzard`; the original's files Blizzard9k_train.npy, Blizzard9k_valid.npy and
Blizzard9k_test.npy in a folder are read as they are with --config.data.normalization=legacy.
The paper does not give the settings for this set; they are those of music_2tier.
Hardware: an accelerator; the original stops after three days. Not yet trained with this code.
Bits: 1.392 per sample on test, as published (paper table 1, mean of the batch costs).

    python -m experiments.train --config=configs/blizzard_2tier.py \
        --workdir=runs/blizzard_2tier --config.data.path=datasets/blizzard
"""

import ml_collections

from configs import music_2tier


def get_config() -> ml_collections.ConfigDict:
    """The recipe."""
    return music_2tier.get_config()
