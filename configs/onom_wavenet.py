"""The paper's WaveNet re-implementation on Onomatopoeia, for the paper's table.

Data: Onomatopoeia, 3.5 hours of 6,738 vocal sounds such as coughs and screams by 51 actors, for
which you need the right, at 16 kHz: 92 % to train on, 4 % each to validate and test (paper
section 3). Each recording is a clip; padding is masked.
Settings: the paper does not give them for this set; those of music_wavenet.
Hardware: an accelerator; the original stops after 60 hours. Not yet trained with this code.
Bits: 2.285 per sample on test, as published (paper table 1, mean of the batch costs). Published
with linear output layers, an oversight; --config.model.output_activation=none gives them.

    python -m experiments.prepare --dataset=onom --output=datasets/onom --input=FOLDER
    python -m experiments.train --config=configs/onom_wavenet.py --config.data.path=datasets/onom
"""

import ml_collections

from configs import music_wavenet


def get_config() -> ml_collections.ConfigDict:
    """The settings of music_wavenet."""
    return music_wavenet.get_config()
