"""Reading the original's checkpoints, from names and shapes as its code gives them."""

import pickle

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from samplernn_jax.config import ModelConfig, WaveNetConfig
from samplernn_jax.interop import theano
from samplernn_jax.models.interface import abstract_params
from tests import reference

D = 6  # dim; no other size is the same, so that a mistake shows


def linear(name, inputs, outputs, bias=True, norm=True):
    return {
        f"{name}.W0": (inputs, outputs),
        **({f"{name}.g0": (outputs,)} if norm else {}),
        **({f"{name}.b": (outputs,)} if bias else {}),
    }


def gru(name, inputs, norm=True):
    return {
        **linear(f"{name}.Step.Input", inputs, 3 * D, norm=norm),
        **linear(f"{name}.Step.Recurrent_Gates", D, 2 * D, bias=False, norm=norm),
        **linear(f"{name}.Step.Recurrent_Candidate", D, D, bias=False, norm=norm),
    }


def lstm(name, inputs):
    return {
        **linear(f"{name}.Step.Input", inputs, 4 * D, bias=False),
        **linear(f"{name}.Step.Recurrent_Gates", D, 4 * D, bias=False),
        f"{name}.Step.b": (4 * D,),
    }


def sample_level(inputs, q_levels, norm=True):
    return {
        **linear("SampleLevel.L1_PrevSamples", inputs, D, bias=False, norm=norm),
        **linear("SampleLevel.L2", D, D, norm=norm),
        **linear("SampleLevel.L3", D, D, norm=norm),
        **linear("SampleLevel.Output", D, q_levels, norm=norm),
    }


def dilated(block, layer, inputs):
    name = f"block_{block}.dilation_{layer}"
    return {
        f"{name}.W": (2 * D, inputs, 2, 1),
        f"{name}.b": (2 * D,),
        f"{name}.W1x1": (2 * D, D, 1, 1),
    }


CHECKPOINTS = {
    "3tier_gru": (
        ModelConfig((5, 15), D, emb_size=4, q_levels=20),
        {
            "BigFrameLevel.h0": (1, D),
            **gru("BigFrameLevel.GRU1", 15),
            **linear("BigFrameLevel.Output", D, 3 * D),
            **linear("BigFrameLevel.IndependentPreds", D, 15 * 20),
            "FrameLevel.h0": (1, D),
            **linear("FrameLevel.InputExpand", 5, D),
            **gru("FrameLevel.GRU1", D),
            **linear("FrameLevel.Output", D, 5 * D),
            "SampleLevel.Embedding": (20, 4),
            **sample_level(5 * 4, 20),
        },
    ),
    "2tier_gru3_skip_onehot_plain": (
        ModelConfig((5,), D, n_rnn=3, skip_conn=True, weight_norm=False, emb_size=0, q_levels=9),
        {
            "FrameLevel.h0": (3, D),
            **gru("FrameLevel.GRU1", 5, norm=False),
            **gru("FrameLevel.GRU2+inpskip", D + 5, norm=False),
            **gru("FrameLevel.GRU3+inpskip", D + 5, norm=False),
            **linear("FrameLevel.GRU.outskip1y", D, D, norm=False),
            **linear("FrameLevel.GRU.outskip2y", D, D, bias=False, norm=False),
            **linear("FrameLevel.GRU.outskip3y", D, D, bias=False, norm=False),
            **linear("FrameLevel.Output", D, 5 * D, norm=False),
            **sample_level(5 * 9, 9, norm=False),
        },
    ),
    "1tier_lstm2_skip": (
        ModelConfig((), D, n_rnn=2, rnn_type="lstm", skip_conn=True, emb_size=4, q_levels=20),
        {
            "SampleLevel.Embedding": (20, 4),
            "SampleLevel.h0": (2, 2 * D),
            **lstm("SampleLevel.LSTM1", 4),
            **lstm("SampleLevel.LSTM2+inpskip", D + 4),
            **linear("SampleLevel.LSTM1.outskip1y", D, D),
            **linear("SampleLevel.LSTM2.outskip2y", D, D, bias=False),
            **linear("SampleLevel.L1", D, D),
            **linear("SampleLevel.L2", D, D),
            **linear("SampleLevel.L3", D, D),
            **linear("SampleLevel.Output", D, 20),
        },
    ),
    "wavenet": (
        WaveNetConfig(2, 3, D, output_activation="none", q_levels=20),
        {
            "block_1.parametrized_weights": (3,),
            "block_2.parametrized_weights": (3,),
            **dilated(1, 1, 1),
            **dilated(1, 2, D),
            **dilated(1, 3, D),
            **dilated(2, 1, D),
            **dilated(2, 2, D),
            **dilated(2, 3, D),
            **{f"out_{n}.W": (D, D, 1, 1) for n in (1, 2, 3)},
            **{f"out_{n}.b": (D,) for n in (1, 2, 3)},
            "final.W": (20, D, 1, 1),
            "final.b": (20,),
        },
    ),
}


def make(name):
    config, shapes = CHECKPOINTS[name]
    rng = np.random.default_rng(0)
    return config, {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_configuration_follows_from_names_and_shapes(name, tmp_path):
    expected, arrays = make(name)
    config, params = theano.load(arrays)
    assert config == expected
    assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(
        lambda x: (x.shape, x.dtype), abstract_params(config)
    )
    (tmp_path / "params.pkl").write_bytes(pickle.dumps(arrays, protocol=0))
    for path in (tmp_path / "params.pkl", str(tmp_path / "params.pkl")):
        again_config, again = theano.load(path)
        assert again_config == config
        jax.tree.map(np.testing.assert_array_equal, again, params)


PLACES = {
    "3tier_gru": {
        "BigFrameLevel.GRU1.Step.Recurrent_Candidate.W0": (
            *("tier_3", "rnn", "layer_1", "recurrent_candidate", "kernel"),
        ),
        "BigFrameLevel.h0": ("tier_3", "h0"),
        "BigFrameLevel.GRU1.Step.Input.b": ("tier_3", "rnn", "layer_1", "input", "bias"),
        "FrameLevel.h0": ("tier_2", "h0"),
        "FrameLevel.GRU1.Step.Input.b": ("tier_2", "rnn", "layer_1", "input", "bias"),
        "FrameLevel.GRU1.Step.Recurrent_Gates.g0": (
            *("tier_2", "rnn", "layer_1", "recurrent_gates", "scale"),
        ),
        "SampleLevel.L2.W0": ("tier_1", "hidden_2", "kernel"),
        "SampleLevel.L3.W0": ("tier_1", "hidden_3", "kernel"),
        "SampleLevel.L2.b": ("tier_1", "hidden_2", "bias"),
        "SampleLevel.L3.g0": ("tier_1", "hidden_3", "scale"),
    },
    "2tier_gru3_skip_onehot_plain": {
        "FrameLevel.GRU.outskip1y.W0": ("tier_2", "rnn", "skip_1", "kernel"),
        "FrameLevel.GRU.outskip2y.W0": ("tier_2", "rnn", "skip_2", "kernel"),
        "FrameLevel.GRU.outskip3y.W0": ("tier_2", "rnn", "skip_3", "kernel"),
        "FrameLevel.GRU2+inpskip.Step.Input.W0": ("tier_2", "rnn", "layer_2", "input", "kernel"),
        "FrameLevel.GRU3+inpskip.Step.Input.W0": ("tier_2", "rnn", "layer_3", "input", "kernel"),
    },
    "1tier_lstm2_skip": {
        "SampleLevel.L1.W0": ("tier_1", "hidden_1", "kernel"),
        "SampleLevel.L2.W0": ("tier_1", "hidden_2", "kernel"),
        "SampleLevel.L3.W0": ("tier_1", "hidden_3", "kernel"),
        "SampleLevel.LSTM1.Step.b": ("tier_1", "rnn", "layer_1", "bias"),
        "SampleLevel.LSTM2+inpskip.Step.b": ("tier_1", "rnn", "layer_2", "bias"),
        "SampleLevel.LSTM1.outskip1y.W0": ("tier_1", "rnn", "skip_1", "kernel"),
        "SampleLevel.LSTM2.outskip2y.W0": ("tier_1", "rnn", "skip_2", "kernel"),
    },
    "wavenet": {
        "out_1.b": ("hidden_1", "bias"),
        "out_2.b": ("hidden_2", "bias"),
        "out_3.b": ("hidden_3", "bias"),
        "final.b": ("output", "bias"),
    },
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_arrays_of_one_shape_are_not_confused(name):
    _, arrays = make(name)
    params = flatten_dict(theano.load(arrays)[1])
    for original, path in PLACES[name].items():
        np.testing.assert_array_equal(params[path], arrays[original], err_msg=original)


def test_every_array_arrives():
    """Each has numbers of its own; independent predictions only where asked for."""
    for name in CHECKPOINTS:
        _, arrays = make(name)
        has_head = name == "3tier_gru"
        _, params = theano.load(arrays, independent_preds=has_head)
        ours = np.concatenate([np.ravel(x) for x in jax.tree.leaves(params)])
        theirs = np.concatenate([np.ravel(x) for x in arrays.values()])
        np.testing.assert_array_equal(np.sort(ours), np.sort(theirs))


def test_independent_predictions_are_left_out_unless_asked_for():
    _, arrays = make("3tier_gru")
    config, params = theano.load(arrays, independent_preds=True)
    assert config.independent_preds
    head = params["tier_3"].pop("independent_preds")
    np.testing.assert_array_equal(head["bias"], arrays["BigFrameLevel.IndependentPreds.b"])
    _, without = theano.load(arrays)
    jax.tree.map(np.testing.assert_array_equal, params, without)
    del arrays["BigFrameLevel.IndependentPreds.W0"]
    with pytest.raises(ValueError, match=r"it has no parameter BigFrameLevel.IndependentPreds.W0"):
        theano.load(arrays, independent_preds=True)


def test_the_filters_of_wavenet_become_matrices():
    """One dilated layer as the original's conv2d computes it."""
    _, arrays = make("wavenet")
    _, params = theano.load(arrays)
    past, present = np.random.default_rng(1).normal(size=(2, D))
    filters, bias = arrays["block_2.dilation_2.W"][..., 0], arrays["block_2.dilation_2.b"]
    out = filters[:, :, 0] @ past + filters[:, :, 1] @ present + bias
    hidden = np.tanh(out[1::2]) / (1 + np.exp(-out[::2]))
    mixed = arrays["block_2.dilation_2.W1x1"][:, :, 0, 0] @ hidden
    p = params["block_2_layer_2"]
    ours = reference._linear(p["dilated"], np.concatenate([past, present]))
    np.testing.assert_allclose(ours[:D], out[::2], atol=1e-5)
    np.testing.assert_allclose(ours[D:], out[1::2], atol=1e-5)
    ours = reference._linear(p["mix"], hidden)
    np.testing.assert_allclose(ours, np.concatenate([mixed[::2], mixed[1::2]]), atol=1e-5)
    assert p["skip_scale"] == arrays["block_2.parametrized_weights"][1]


def test_an_initial_state_that_is_zero_was_not_trained():
    _, arrays = make("3tier_gru")
    assert theano.load(arrays)[0].learn_h0
    arrays.update({name: np.zeros_like(x) for name, x in arrays.items() if name.endswith(".h0")})
    assert not theano.load(arrays)[0].learn_h0
    assert theano.load(arrays, learn_h0=True)[0].learn_h0


def test_the_quantization_is_what_the_caller_says():
    with pytest.raises(ValueError, match="q_levels=20: must be 256 with q_type='mu-law'"):
        theano.load(make("3tier_gru")[1], q_type="mu-law")
    assert theano.load(make("wavenet")[1])[0].q_type == "linear"


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_does_not_fit_is_named(name):
    _, arrays = make(name)
    left_out = next(k for k in arrays if k.endswith(("Output.b", "out_2.b")) and "Big" not in k)
    with pytest.raises(
        ValueError, match=f"checkpoint: is not .* of the original .it has no parameter {left_out}"
    ):
        theano.load({k: v for k, v in arrays.items() if k != left_out})
    with pytest.raises(ValueError, match=r"\(it has parameters that no model has: extra\)"):
        theano.load({**arrays, "extra": np.zeros(3)})
    wrong = {**arrays, left_out: np.zeros(7, np.float32)}
    with pytest.raises(ValueError, match=rf"{left_out} makes \[7\], but must make"):
        theano.load(wrong)


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="checkpoint: is not a checkpoint of the original"):
        theano.load({"weights": np.zeros(3)})
    (tmp_path / "x.pkl").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"x\.pkl: is not a pickled dict of arrays"):
        theano.load(tmp_path / "x.pkl")


BAD = {
    "3tier_gru": [
        (
            "FrameLevel.h0",
            np.zeros(3),
            r"FrameLevel.h0 is float64 \[3\], not finite numbers in 2",
        ),
        ("SampleLevel.L2.W0", np.full((D, D), np.nan), "not finite numbers in 2"),
        ("SampleLevel.L3.b", np.zeros(D, complex), "is complex128"),
        ("SampleLevel.L3.b", np.zeros(D, "f4,f4"), "not finite numbers in 1"),
        (7, np.zeros(3), "that no model has: 7"),
    ],
    "wavenet": [
        ("block_2.parametrized_weights", np.zeros(2), "different numbers of layers"),
        ("block_2.parametrized_weights", np.zeros(5), "different numbers of layers"),
        ("block_1.parametrized_weights", np.zeros(()), "not finite numbers in 1"),
        ("final.W", np.zeros((20, D)), "not finite numbers in 4"),
        ("block_1.dilation_2.W", np.zeros((2 * D, D, 3, 1)), "block_1.dilation_2.W makes"),
    ],
}


@pytest.mark.parametrize(
    ("name", "bad"),
    [(name, case) for name, cases in BAD.items() for case in cases],
)
def test_what_cannot_be_a_parameter_is_named(name, bad):
    key, value, message = bad
    with pytest.raises(ValueError, match=rf"checkpoint: is not a checkpoint .*{message}"):
        theano.load({**make(name)[1], key: value})
