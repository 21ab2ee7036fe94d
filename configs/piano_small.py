r"""Your own recordings on a CPU: a small 3-tier model, made for about an hour of music.

Data: 70 minutes of solo piano at 16 kHz (18 movements of Beethoven's sonatas, rendered with a
sampled piano), 53 minutes of them to train on; whole movements are held out to validate and test.
Hardware: 2 CPU cores (AMD EPYC), nothing else running: 15 minutes at 37 thousand samples per
second. The 4,000 steps are two thirds of an epoch.
Bits: 2.389 per sample on all of test, 1.880 on the first 1.6 s of 32 clips of valid;
histogram 6.060 and bigram 4.251 on test. They were still falling.
Sampling: 2.2 times real time on the same two cores, so it plays live.
Size: after 2,000 steps it has 2.528 bits on test. A model of dim 512 with frames 8 and 2, whose
steps take four times as long, has 2.562 after as many.
Sound: piano-like partials up to 3 kHz that hold for a second or glide, an attack now and then, hiss
underneath; no melody yet. More steps help, and so does a larger dim.

    python -m experiments.prepare --input=FOLDER --output=datasets/piano --sample_rate=16000
    python -m experiments.train --config=configs/piano_small.py --workdir=runs/piano \
        --config.data.path=datasets/piano
    python -m experiments.sample --workdir=runs/piano --top_p=0.95 --stream | ffplay -nodisp -
"""

import ml_collections

from samplernn_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """Returns the recipe."""
    config = default_config()
    config.model.frame_sizes = (4, 16)
    config.model.dim = 256
    config.model.emb_size = 128
    config.data.synthetic_minutes = 0.0
    config.data.batch_size = 32
    config.data.seq_len = 256
    config.train.num_steps = 4000
    config.train.valid_every = 500
    config.train.valid_s = 60.0
    config.train.keep_latest = 2
    config.sample.every = 2000
    config.sample.duration_s = 5.0
    return config
