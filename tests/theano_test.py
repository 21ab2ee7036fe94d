"""The numbers of the original (Theano) implementation, where its golden files are at hand."""

from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

import samplernn_jax as srnn
from tests.models import apply

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "theano"

pytestmark = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="the golden files of the original are not on this machine"
)

MODELS = {
    "3tier_gru1": (
        srnn.ModelConfig(frame_sizes=(2, 8), dim=32, emb_size=16),
        {"BigFrameLevel": "tier_3", "FrameLevel": "tier_2", "SampleLevel": "tier_1"},
        {"tier_3": "new_big_h0", "tier_2": "new_h0"},
    ),
    "2tier_lstm2_onehot": (
        srnn.ModelConfig(
            frame_sizes=(8,), dim=32, n_rnn=2, rnn_type="lstm", emb_size=0, q_levels=64
        ),
        {"FrameLevel": "tier_2", "SampleLevel": "tier_1"},
        {"tier_2": "new_h0"},
    ),
}

LINEAR = {
    "L1_PrevSamples": "hidden_1",
    "L2": "hidden_2",
    "L3": "hidden_3",
    "Output": "output",
    "InputExpand": "input_expand",
}
LEAF = {"W0": "kernel", "g0": "scale", "b": "bias", "h0": "h0", "Embedding": "embedding"}


def our_path(name: str, tiers: dict[str, str]) -> tuple[str, ...]:
    """FrameLevel.GRU1.Step.Input.W0 -> ("tier_2", "rnn", "layer_1", "input", "kernel")."""
    tier, *middle, leaf = name.split(".")
    if middle and middle[0] in LINEAR:
        middle = [LINEAR[middle[0]]]
    elif middle:
        middle = ["rnn", f"layer_{middle[0][-1]}", *(part.lower() for part in middle[2:])]
    return (tiers[tier], *middle, LEAF[leaf])


def our_params(golden, kind: str, tiers: dict[str, str]) -> dict:
    return unflatten_dict(
        {
            our_path(key.removeprefix(kind), tiers): value
            for key, value in golden.items()
            if key.startswith(kind) and "IndependentPreds" not in key
        }
    )


@pytest.fixture(params=MODELS)
def model(request):
    config, tiers, states = MODELS[request.param]
    with np.load(GOLDEN / f"{request.param}.npz", allow_pickle=False) as file:
        golden = dict(file)
    return config, tiers, states, golden


def test_logits_costs_and_states_over_three_segments(model):
    config, tiers, states, golden = model
    params, carry = our_params(golden, "param/", tiers), None
    for number, sequences in enumerate(golden["sequences"]):
        reset = np.full(len(sequences), bool(golden["reset"][number]))
        logits, carry = apply(config, params, sequences, carry, reset)
        targets, mask = sequences[:, config.overlap :], golden["mask"][number][:, config.overlap :]
        bits = srnn.bits_per_sample(logits, *map(jax.numpy.asarray, (targets, mask)))
        assert bits == pytest.approx(golden["cost"][number], rel=1e-5)
        for tier, name in states.items():
            np.testing.assert_allclose(carry[tier], golden[name][number], atol=1e-5)
        if number == 0:
            scale = max(1.0, np.abs(golden["logits"]).max() / 10)
            np.testing.assert_allclose(logits, golden["logits"], atol=1e-4 * scale)


def test_incoming_states_with_and_without_reset(model):
    config, tiers, states, golden = model
    params, sequences = our_params(golden, "param/", tiers), golden["sequences"][0]
    carry = {
        tier: golden["extra/" + name.removeprefix("new_") + "_in"] for tier, name in states.items()
    }
    targets = jax.numpy.asarray(sequences[:, config.overlap :])
    mask = jax.numpy.asarray(golden["mask"][0][:, config.overlap :])
    for reset in (0, 1):
        rows = np.full(len(sequences), bool(reset))
        logits, new_carry = apply(config, params, sequences, carry, rows)
        bits = srnn.bits_per_sample(logits, targets, mask)
        assert bits == pytest.approx(golden[f"extra/cost_reset{reset}"], rel=1e-5)
        for tier, name in states.items():
            expected = golden[f"extra/{name}_reset{reset}"]
            np.testing.assert_allclose(new_carry[tier], expected, atol=1e-5)


def test_gradients_of_the_cost(model):
    config, tiers, _, golden = model
    sequences = golden["sequences"][0]
    targets = jax.numpy.asarray(sequences[:, config.overlap :])
    mask = jax.numpy.asarray(golden["mask"][0][:, config.overlap :])

    def cost(params):
        return srnn.bits_per_sample(apply(config, params, sequences)[0], targets, mask)

    grads = jax.grad(cost)(our_params(golden, "param/", tiers))
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max()
        ),
        grads,
        our_params(golden, "grad/", tiers),
    )
