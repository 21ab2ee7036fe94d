"""The 1-tier RNN baseline on Onomatopoeia, for the paper's table.

Data: Onomatopoeia, 3.5 hours of 6,738 vocal sounds such as coughs and screams by 51 actors
(licence needed), at 16 kHz: 92 % to train on, 4 % each to validate and test (paper section 3).
Each recording is a clip; padding is masked.
Settings: those of music_1tier, as the paper gives none for this set.
Hardware: an accelerator; the original stops after seven days. Not yet trained with this code.
Bits: 2.034 per sample on test, as published (paper table 1, mean of the batch costs).

    python -m experiments.prepare --dataset=onom --output=datasets/onom --input=FOLDER
    python -m experiments.train --config=configs/onom_1tier.py --config.data.path=datasets/onom
"""

import ml_collections

from configs import music_1tier


def get_config() -> ml_collections.ConfigDict:
    """Returns the settings of music_1tier."""
    return music_1tier.get_config()
