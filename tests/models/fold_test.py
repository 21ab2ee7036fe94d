"""Each folding, and all of them together, against the model as it is trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.sampling.engines.interface import first_state
from samplernn_jax.sampling.engines.scan import decode
from tests.tiny_models import GRID, TINY, TINY_WAVENET, apply, fold, random_params, random_tokens

# A model without any of the options, and then what each of them adds to fold.
BARE = dataclasses.replace(TINY, frame_sizes=(4,), emb_size=0, weight_norm=False)
FOLDINGS = {
    "the second layer into tables and the lowest tier's output": BARE,
    "weight normalization": dataclasses.replace(BARE, weight_norm=True),
    "embedding times first layer": dataclasses.replace(BARE, emb_size=4),
    "InputExpand into the RNN's input": dataclasses.replace(BARE, frame_sizes=(2, 4)),
    "InputExpand into that of every layer": dataclasses.replace(
        BARE, frame_sizes=(2, 4), n_rnn=3, skip_conn=True
    ),
    "the LSTM's own bias": dataclasses.replace(BARE, frame_sizes=(2, 4), rnn_type="lstm"),
    "the embedding of one tier": dataclasses.replace(BARE, frame_sizes=(), emb_size=4),
    "one-hot input of one tier": dataclasses.replace(BARE, frame_sizes=()),
    "WaveNet's skip scales": TINY_WAVENET,
    "WaveNet's layers without activation": dataclasses.replace(
        TINY_WAVENET, output_activation="none"
    ),
}


def slow(values):
    return [pytest.param(value, id=name, marks=pytest.mark.slow) for name, value in values.items()]


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [
        pytest.param("float32", 3e-5, id="float32", marks=pytest.mark.slow),
        pytest.param("float64", 1e-12, id="float64"),
    ],
)
@pytest.mark.parametrize(
    "config", [pytest.param(config, id=name) for name, config in FOLDINGS.items()] + slow(GRID)
)
def test_folding_changes_no_logit(config, precision, tolerance):
    with jax.enable_x64(precision == "float64"):
        params = jax.tree.map(lambda x: jnp.asarray(x, precision), random_params(config))
        tokens = random_tokens(config, batch=2, num_frames=3)
        expected, _ = apply(config, params, tokens)
        logits = folded_logits(config, params, tokens)
        assert logits.dtype == precision
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(logits / scale, expected / scale, rtol=0, atol=tolerance)


def folded_logits(config, params, tokens):
    """Through the decode loop, which runs folded weights and nothing else."""
    state = first_state(config, params, tokens[:, : config.overlap], jnp.zeros(len(tokens)))
    run = jax.jit(lambda *args: decode(config, *args, choose=lambda logits, token: (token, logits)))
    return run(fold(config, params), state, tokens[:, config.overlap :])[2]


def test_what_sampling_never_reads_is_left_out():
    config = GRID["independent"]
    without = dataclasses.replace(config, independent_preds=False)
    folded, expected = fold(config, random_params(config)), fold(without, random_params(without))
    assert jax.tree.map(np.shape, folded) == jax.tree.map(np.shape, expected)


def test_no_weight_norm_and_no_activation_leave_work_behind():
    """One matrix per layer remains, and one for all of WaveNet's last four."""
    folded = fold(TINY, random_params(TINY))
    assert len(jax.tree.leaves(folded)) == 2 * 4 + 2 * 2 + 1 + 4 + 1
    linear = dataclasses.replace(TINY_WAVENET, output_activation="none")
    assert len(fold(linear, random_params(linear)).head) == 1
