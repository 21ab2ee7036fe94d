r"""The 1-tier RNN baseline on MUSIC, for the paper's table.

Data: the 32 piano sonatas of Beethoven at 16 kHz in clips of 8 s, 3,712 to train on and 256 each
to validate and test (paper section 3). Prepare any collection like it with
`python -m experiments.prepare --input=FOLDER --output=datasets/music`; the original's files
music_train.npy, music_valid.npy and music_test.npy in a folder are read as they are with
--config.data.normalization=legacy.
The paper does not give the settings of this baseline; they are those of the 3-tier model.
Hardware: an accelerator; the original stops after seven days. Not yet trained with this code.
Bits: 1.410 per sample on test, as published (paper table 1, mean of the batch costs).

    python -m experiments.train --config=configs/music_1tier.py \
        --workdir=runs/music_1tier --config.data.path=datasets/music
"""

import ml_collections

from configs import music_3tier


def get_config() -> ml_collections.ConfigDict:
    """The recipe."""
    config = music_3tier.get_config()
    config.model.frame_sizes = ()
    return config
