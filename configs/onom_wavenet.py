"""The paper's WaveNet re-implementation on Onomatopoeia, for the paper's table.

Data: Onomatopoeia, 3.5 hours of 6,738 vocal sounds such as coughs and screams by 51 actors
(licence needed), at 16 kHz: 92 % to train on, 4 % each to validate and test (paper section 3).
Each recording is a clip; padding is masked.
Settings: those of music_wavenet, as the paper gives none for this set.
Hardware: an accelerator; the original stops after 60 hours. Not yet trained with this code.
Bits: 2.285 per sample on test, as published (paper table 1, mean of the batch costs). Published
with linear output layers, by oversight; --config.model.output_activation=none does the same.

    python -m experiments.prepare --dataset=onom --output=datasets/onom --input=FOLDER
    python -m experiments.train --config=configs/onom_wavenet.py --config.data.path=datasets/onom
"""

import ml_collections

from configs import music_wavenet


def get_config() -> ml_collections.ConfigDict:
    """Returns the settings of music_wavenet."""
    return music_wavenet.get_config()
