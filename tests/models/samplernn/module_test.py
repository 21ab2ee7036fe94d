import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from samplernn_jax.losses import bits_per_sample
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.models.layers import default_init
from samplernn_jax.models.samplernn.module import SampleRNN, independent_logits
from tests import reference
from tests.tiny_models import (
    GRID,
    PAIRWISE,
    TINY,
    VARIANTS,
    apply,
    init,
    random_params,
    random_tokens,
)

variants = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(config, id=name, marks=() if name in PAIRWISE else pytest.mark.slow)
        for name, config in GRID.items()
    ],
)
def test_logits_states_and_gradient_are_the_papers_equations_in_numpy(config):
    params, tokens = random_params(config), random_tokens(config, batch=2, num_frames=3)
    targets = tokens[:, config.overlap :]

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def cost(params):
        logits, carry = SampleRNN(config).apply({"params": params}, tokens)
        return bits_per_sample(logits, targets, jnp.ones(targets.shape)), (logits, carry)

    (_, (logits, carry)), grads = cost(params)
    for row in range(2):
        expected, states = reference.forward(config, params, np.asarray(tokens[row]))
        scale = max(1.0, np.abs(expected).max() / 10)
        np.testing.assert_allclose(logits[row], expected, atol=1e-4 * scale)
        for tier, state in states.items():
            np.testing.assert_allclose(carry[f"tier_{tier}"][row], state, atol=1e-5)
    slope, expected = slopes(config, params, tokens, grads)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(grads)))
    assert norm > 0.1
    assert abs(slope - expected) < 1e-4 * norm


def slopes(config, params, tokens, grads):
    """Of the cost in a random direction: by the gradient, and by a difference in float64."""
    rng = np.random.default_rng(1)
    flat = {k: np.asarray(x, np.float64) for k, x in flatten_dict(params).items()}
    direction = {k: rng.normal(size=x.shape) for k, x in flat.items()}
    if not config.learn_h0:
        direction.update({k: np.zeros_like(x) for k, x in flat.items() if k[-1] == "h0"})

    def cost_at(step):
        moved = unflatten_dict({k: x + step * direction[k] for k, x in flat.items()})
        return np.mean(
            [
                reference.bits(reference.forward(config, moved, row)[0], row[config.overlap :])
                for row in np.asarray(tokens)
            ]
        )

    slope = sum(np.sum(direction[k] * np.asarray(g)) for k, g in flatten_dict(grads).items())
    return slope, (cost_at(1e-5) - cost_at(-1e-5)) / 2e-5


def test_independent_predictions_equal_the_equations_and_need_no_asking():
    config = GRID["independent"]
    params, tokens = random_params(config), random_tokens(config, batch=2, num_frames=3)
    (logits, _), collected = SampleRNN(config).apply(
        {"params": params}, tokens, mutable=["intermediates"]
    )
    predictions = independent_logits(config, collected["intermediates"])
    for row in range(2):
        expected = reference.independent(config, params, np.asarray(tokens[row]))
        np.testing.assert_allclose(predictions[row], expected, atol=1e-4)
    without = {k: v for k, v in params["tier_3"].items() if k != "independent_preds"}
    plain = dataclasses.replace(config, independent_preds=False)
    expected, _ = apply(plain, {**params, "tier_3": without}, tokens)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


SHORT, LONG = 4, 8  # in frames: all that the contract needs of a model is two programs


def make_tokens(config, num_frames, seed=0):
    """As many rows as a short segment has tokens."""
    return random_tokens(config, config.overlap + config.top_frame_size * SHORT, num_frames, seed)


def forward(config, params, tokens, carry=None, reset=None):
    """With the states and resets that None stands for, so that one program does for all."""
    num_frames = (tokens.shape[1] - config.overlap) // config.top_frame_size
    if carry is None:
        carry = initial_carry(config, params, len(tokens))
    if reset is None:
        reset = np.zeros(len(tokens), bool)
    if reset.ndim == 1:
        reset = np.arange(num_frames) == np.where(reset, 0, num_frames)[:, None]
    return jax.device_get(apply(config, params, tokens, carry, reset))


@variants
def test_two_segments_with_carry_equal_one_long_segment(config):
    params, tokens = random_params(config), make_tokens(config, LONG)
    overlap, middle = config.overlap, config.overlap + SHORT * config.top_frame_size
    whole, whole_carry = forward(config, params, tokens)
    first, carry = forward(config, params, tokens[:, :middle])
    second, carry = forward(config, params, tokens[:, middle - overlap :], carry)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), carry, whole_carry)


@variants
def test_no_logit_depends_on_its_own_or_a_later_token(config):
    params, tokens = random_params(config), np.asarray(make_tokens(config, SHORT)[:1])
    overlap, time = config.overlap, tokens.shape[1]
    one_changed = (tokens + 5 * np.eye(time, dtype=np.int32)) % config.q_levels
    # Row against the same row of as large a batch, where rounding is the same to the last bit.
    logits, _ = forward(config, params, np.repeat(tokens, time, axis=0))
    changed_logits, _ = forward(config, params, one_changed)
    for t in range(time):
        differs = np.abs(changed_logits[t] - logits[t]).max(axis=-1) > 0
        assert not differs[: max(t + 1 - overlap, 0)].any()
        if overlap <= t + 1 < time:
            assert differs[t + 1 - overlap], "the token right before must matter"


def test_the_oldest_token_of_the_overlap_matters():
    params, tokens = random_params(TINY), random_tokens(TINY, batch=1, num_frames=2)
    changed = tokens.at[0, 0].set((tokens[0, 0] + 5) % TINY.q_levels)
    logits, _ = apply(TINY, params, tokens)
    new_logits, _ = apply(TINY, params, changed)
    assert np.abs(new_logits - logits)[0, 0].max() > 0


@variants
def test_reset_rows_start_at_h0_and_others_go_on(config):
    params, tokens = random_params(config), make_tokens(config, SHORT)
    reset = np.arange(len(tokens)) % 2 == 0
    fresh, carry = forward(config, params, tokens)
    continued, _ = forward(config, params, tokens, carry)
    mixed, _ = forward(config, params, tokens, carry, reset)
    np.testing.assert_array_equal(mixed, np.where(reset[:, None, None], fresh, continued))
    assert np.abs(fresh - continued).max() > 1e-3


def test_states_and_resets_may_be_left_out_and_resets_given_by_row():
    params, tokens = random_params(TINY), random_tokens(TINY, batch=3, num_frames=2)
    reset = np.array([True, False, True])
    fresh, carry = forward(TINY, params, tokens)
    np.testing.assert_allclose(apply(TINY, params, tokens)[0], fresh, atol=1e-5)
    continued, _ = forward(TINY, params, tokens, carry)
    np.testing.assert_allclose(apply(TINY, params, tokens, carry)[0], continued, atol=1e-5)
    mixed, _ = forward(TINY, params, tokens, carry, reset)
    np.testing.assert_allclose(apply(TINY, params, tokens, carry, reset)[0], mixed, atol=1e-5)


@variants
def test_a_clip_that_begins_inside_a_segment_is_predicted_as_on_its_own(config):
    params = random_params(config)
    frame, overlap = config.top_frame_size, config.overlap
    joined, clip = (np.array(make_tokens(config, n, seed)) for seed, n in enumerate((LONG, SHORT)))
    clip[:, :overlap] = config.q_zero  # the silence in front of the clip is the gap
    joined[:, -clip.shape[1] :] = clip
    reset = np.zeros((len(joined), LONG), bool)
    reset[1, SHORT] = True
    alone, carry_alone = forward(config, params, clip)
    junk = jax.tree.map(lambda x: x + 1.0, carry_alone)
    logits, carry = forward(config, params, joined, junk, reset)
    last = logits[:, -SHORT * frame :]
    np.testing.assert_allclose(last[1], alone[1], rtol=1e-4, atol=1e-5)
    assert np.abs(last[0] - alone[0]).max() > 1e-3
    for ours, expected in zip(*map(jax.tree.leaves, (carry, carry_alone)), strict=True):
        np.testing.assert_allclose(ours[1], expected[1], rtol=1e-4, atol=1e-5)


def test_a_reset_for_another_number_of_frames_is_named():
    params, tokens = random_params(TINY), random_tokens(TINY, 2, 3)
    with pytest.raises(ValueError, match="reset has 5 frames: must be 3"):
        apply(TINY, params, tokens, None, jnp.zeros((2, 5), bool))


def test_learned_h0_gets_the_gradient_of_every_clip_that_begins_with_it():
    params = random_params(TINY)
    tokens = random_tokens(TINY, 1, 6).at[:, : TINY.overlap].set(TINY.q_zero)
    packed = jnp.concatenate([tokens, tokens], axis=1)
    num_frames = 6 + TINY.overlap // TINY.top_frame_size + 6
    reset = jnp.zeros((1, num_frames), bool).at[0, jnp.array([0, num_frames - 6])].set(True)
    last = slice(-6 * TINY.top_frame_size, None)

    def loss(params, tokens, reset, where):
        logits, _ = apply(TINY, params, tokens, None, reset)
        return jnp.square(logits[:, where]).sum()

    alone = jax.grad(loss)(params, tokens, None, last)
    in_packed = jax.grad(loss)(params, packed, reset, last)
    for tier in ("tier_2", "tier_3"):
        expected = alone[tier]["h0"]
        np.testing.assert_allclose(in_packed[tier]["h0"], expected, rtol=1e-4, atol=1e-5)
        assert jnp.abs(expected).max() > 0.01


@pytest.mark.parametrize("learn_h0", [True, False])
def test_h0_is_trained_only_if_asked_for(learn_h0):
    config = dataclasses.replace(TINY, learn_h0=learn_h0)
    params, tokens = random_params(config), random_tokens(config, batch=1, num_frames=2)

    def loss(params):
        return jnp.sum(apply(config, params, tokens)[0] ** 2)

    grads = jax.grad(loss)(params)
    for tier in ("tier_2", "tier_3"):
        assert bool(jnp.any(grads[tier]["h0"] != 0)) == learn_h0


def test_weight_norm_changes_nothing_at_first():
    key, tokens = jax.random.key(0), random_tokens(TINY, batch=1, num_frames=2)
    plain = dataclasses.replace(TINY, weight_norm=False)
    np.testing.assert_allclose(
        apply(TINY, init(TINY, key), tokens)[0],
        apply(plain, init(plain, key), tokens)[0],
        atol=1e-5,
    )


def test_initial_distributions_are_the_originals():
    config = dataclasses.replace(TINY, dim=96, frame_sizes=(4, 16), emb_size=64, q_levels=256)
    params = init(config, jax.random.key(0))
    tier_1, tier_2, rnn = params["tier_1"], params["tier_2"], params["tier_2"]["rnn"]["layer_1"]
    for kernel, std in (
        (tier_1["hidden_1"]["kernel"], (2 / 256) ** 0.5),
        (tier_1["hidden_2"]["kernel"], (2 / 96) ** 0.5),
        (tier_1["output"]["kernel"], (1 / 96) ** 0.5),
        (tier_2["output"]["kernel"], (2 / 96) ** 0.5),
        (rnn["input"]["kernel"], (1 / 96) ** 0.5),
        (rnn["recurrent_gates"]["kernel"], (1 / 96) ** 0.5),
        (params["tier_3"]["rnn"]["layer_1"]["input"]["kernel"], (1 / 16) ** 0.5),
    ):
        assert abs(kernel.std() / std - 1) < 0.05
        assert abs(jnp.abs(kernel).max() / (std * 3**0.5) - 1) < 0.02, "uniform"
    assert abs(tier_1["embedding"].std() - 1) < 0.05
    candidate = rnn["recurrent_candidate"]["kernel"]
    np.testing.assert_allclose(candidate @ candidate.T, np.eye(96), atol=1e-5)
    square = default_init(jax.random.key(1), (8, 8))
    np.testing.assert_allclose(square @ square.T, np.eye(8), atol=1e-5)


def test_lstm_forgets_little_at_first():
    config = VARIANTS["4tier_lstm"]
    params = init(config, jax.random.key(0))
    bias = params["tier_2"]["rnn"]["layer_1"]["bias"].reshape(4, config.dim)
    np.testing.assert_array_equal(bias, np.outer([0, 3, 0, 0], np.ones(config.dim)))


def test_parameters_are_keyed_by_tier():
    assert set(random_params(VARIANTS["4tier_lstm"])) == {"tier_1", "tier_2", "tier_3", "tier_4"}


@pytest.mark.parametrize("time", [4, 5, 10])
def test_a_segment_of_wrong_length_is_refused(time):
    with pytest.raises(ValueError, match=f"tokens has {time} time steps: must be 4 of overlap"):
        apply(TINY, random_params(TINY), jnp.zeros((1, time), jnp.int32))
