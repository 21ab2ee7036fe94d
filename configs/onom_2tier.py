r"""The 2-tier SampleRNN on ONOM, for the paper's table.

Data: Onomatopoeia, 3.5 hours of 6,738 vocal sounds such as coughs and screams by 51 actors, of
unequal length, 92 % to train on and 4 % each to validate and test (paper section 3; you need the
right to it). Prepare the recordings with `python -m experiments.prepare --input=FOLDER
--output=datasets/onom --held_out=0.04`; what a clip lacks to a whole segment is masked.
The paper does not give the settings for this set; they are those of music_2tier.
Hardware: an accelerator; the original stops after three days. Not yet trained with this code.
Bits: 2.026 per sample on test, as published (paper table 1, mean of the batch costs).

    python -m experiments.train --config=configs/onom_2tier.py \
        --workdir=runs/onom_2tier --config.data.path=datasets/onom
"""

import ml_collections

from configs import music_2tier


def get_config() -> ml_collections.ConfigDict:
    """The recipe."""
    return music_2tier.get_config()
