import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.devices import make_mesh, map_step
from samplernn_jax.losses import bits_per_sample
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.models.samplernn.module import SampleRNN, independent_logits
from samplernn_jax.training import step as step_module
from samplernn_jax.training.step import gradients, init_state, make_train_step, repeat
from tests.tiny_models import TINY, TINY_WAVENET, VARIANTS, init, random_params, random_tokens


def test_the_seed_determines_the_initial_parameters():
    first, again, other = (init(TINY, jax.random.key(s)) for s in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    with pytest.raises(AssertionError):
        jax.tree.map(np.testing.assert_array_equal, first, other)


def run_steps(optimizer, segments, params=None):
    """The states after each step on one device, and the metrics."""
    params = random_params(TINY) if params is None else params
    state, carry = init_state(optimizer, params), initial_carry(TINY, params, 2)
    step = map_step(
        make_train_step(TINY, optimizer), make_mesh(jax.devices()[:1]), "shard_map", donate=()
    )
    states, metrics, carries = [state], [], []
    for segment in segments:
        (state, step_metrics), carry = step(state, carry, segment)
        states.append(state)
        metrics.append(step_metrics)
        carries.append(carry)
    return states, metrics, carries


def random_segments(count):
    for seed in range(count):
        tokens = np.asarray(random_tokens(TINY, batch=2, num_frames=3, seed=seed))
        yield Segment(tokens, np.ones((2, 12), bool), np.zeros((2, 3), bool))


def assert_close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), a, b)


@pytest.mark.slow
def test_the_average_of_the_parameters_follows_them():
    states, metrics, _ = run_steps(OptimizerConfig(ema_decay=0.9), random_segments(4))
    assert [int(entry["skipped"]) for entry in metrics] == [0, 0, 0, 0]
    expected = states[0].params
    for state in states[1:]:
        expected = jax.tree.map(lambda a, p: 0.9 * a + 0.1 * p, expected, state.params)
        assert_close(state.average, expected)
        assert state.best_params is state.average
    plain, _, _ = run_steps(OptimizerConfig(), random_segments(4))
    assert plain[-1].average is None
    jax.tree.map(np.testing.assert_array_equal, plain[-1].params, states[-1].params)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted():
    segments = list(random_segments(3))
    broken = random_params(TINY)
    broken["tier_1"]["output"]["bias"] = broken["tier_1"]["output"]["bias"].at[0].set(np.nan)
    states, metrics, carries = run_steps(OptimizerConfig(ema_decay=0.9), segments, broken)
    assert [int(entry["skipped"]) for entry in metrics] == [1, 2, 3]
    assert int(states[-1].step) == 3
    for before, after in itertools.pairwise(states):
        for name in ("params", "opt_state", "average"):
            jax.tree.map(np.testing.assert_array_equal, getattr(before, name), getattr(after, name))
    expected = initial_carry(TINY, broken, 2)
    jax.tree.map(np.testing.assert_array_equal, carries[-1], expected)


@pytest.fixture
def breaking(monkeypatch):
    """Bits are not finite in segments that hold the highest token."""
    segment_bits = step_module.segment_bits

    def broken_bits(config, params, carry, segment):
        bits, carry = segment_bits(config, params, carry, segment)
        is_broken = jnp.any(jnp.asarray(segment.tokens) == config.q_levels - 1)
        return bits._replace(total=bits.total * jnp.where(is_broken, jnp.nan, 1.0)), carry

    monkeypatch.setattr(step_module, "segment_bits", broken_bits)


@pytest.mark.parametrize(
    ("config", "microbatches", "at_once"),
    [
        pytest.param(TINY, 1, 1, id="3tier"),
        pytest.param(
            TINY, 2, 3, id="microbatches and several steps a call", marks=pytest.mark.slow
        ),
        pytest.param(VARIANTS["1tier"], 2, 1, id="1tier", marks=pytest.mark.slow),
        pytest.param(TINY_WAVENET, 1, 1, id="wavenet"),
    ],
)
def test_a_clip_that_begins_in_a_skipped_step_knows_nothing_of_the_one_before(
    config, microbatches, at_once, breaking
):
    params, rng = random_params(config), np.random.default_rng(0)
    length, segments = 4 * config.top_frame_size, []
    for _ in range(3):
        tokens = rng.integers(0, config.q_levels - 1, (4, config.overlap + length), np.int32)
        segments.append(Segment(tokens, np.ones((4, length), bool), np.zeros((4, 4), bool)))
    segments[1].tokens[0, -1] = config.q_levels - 1
    segments[1].reset[[1, 2], [0, 2]] = True

    train_step = make_train_step(config, OptimizerConfig(), microbatches)
    one = map_step(train_step, make_mesh(jax.devices()[:1]), "shard_map", donate=())
    start = init_state(OptimizerConfig(), params), initial_carry(config, params, 4)
    (state, _), carry = one(*start, segments[0])
    (state, metrics), after_skipped = one(state, carry, segments[1])
    assert int(metrics["skipped"]) == 1
    begins = np.array([False, True, True, False])[:, None, None]
    h0 = initial_carry(config, state.params, 4)
    expected = jax.tree.map(lambda fresh, old: np.where(begins, fresh, old), h0, carry)
    jax.tree.map(np.testing.assert_array_equal, after_skipped, expected)
    if at_once == 3:
        together = map_step(repeat(train_step), make_mesh(jax.devices()[:1]), "shard_map", ())
        group = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *segments)
        (_, metrics), carry = together(*start, group)
        assert metrics["skipped"].tolist() == [0, 1, 0]
        assert_close(carry, one(state, expected, segments[2])[1])


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_independent_predictions_are_minimised_by_their_weight(weight):
    config = dataclasses.replace(TINY, independent_preds=True)
    params, tokens = random_params(config), random_tokens(config, batch=2, num_frames=3)
    targets = tokens[:, config.overlap :]
    mask = np.random.default_rng(0).random(targets.shape) < 0.7

    def minimised(params):
        (logits, _), collected = SampleRNN(config).apply(
            {"params": params}, tokens, mutable=["intermediates"]
        )
        predictions = independent_logits(config, collected["intermediates"])
        bits = bits_per_sample(logits, targets, jnp.asarray(mask))
        return bits + weight * bits_per_sample(predictions, targets, jnp.asarray(mask)), bits

    expected, bits = jax.jit(jax.grad(minimised, has_aux=True))(params)

    def step(params, carry, segment):
        optimizer = OptimizerConfig(independent_preds_weight=weight)
        grads, metrics, carry = gradients(config, optimizer, params, carry, segment)
        return (grads, metrics), carry

    run = map_step(step, make_mesh(jax.devices()[:1]), "shard_map", donate=())
    segment = Segment(np.asarray(tokens), mask, np.ones(2, bool))
    (grads, metrics), _ = run(params, initial_carry(config, params, 2), segment)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), grads, expected)
    assert metrics["bits"] == pytest.approx(float(bits), rel=1e-5)
    head = grads["tier_3"]["independent_preds"]["kernel"]
    assert bool(jnp.any(head != 0)) == (weight > 0)


@pytest.mark.slow
def test_bfloat16_products_leave_all_else_float32_and_the_bits_within_a_hundredth():
    config = dataclasses.replace(TINY, dim=32, emb_size=16)
    segments = [
        Segment(
            np.asarray(random_tokens(config, batch=4, num_frames=8, seed=seed % 3)),
            np.ones((4, 32), bool),
            np.zeros((4, 8), bool),
        )
        for seed in range(15)
    ]
    bits = {}
    for dtype in ("float32", "bfloat16"):
        model = dataclasses.replace(config, dtype=dtype)
        params = init(model, jax.random.key(0))
        state, carry = init_state(OptimizerConfig(), params), initial_carry(model, params, 4)
        step = map_step(
            make_train_step(model, OptimizerConfig()),
            make_mesh(jax.devices()[:1]),
            "shard_map",
            donate=(),
        )
        bits[dtype] = []
        for segment in segments:
            (state, metrics), carry = step(state, carry, segment)
            bits[dtype].append(float(metrics["bits"]))
        floats = jax.tree.leaves((state.params, state.opt_state, carry, metrics["bits"]))
        assert {leaf.dtype.name for leaf in floats} == {"float32", "int32"}
    assert bits["float32"] != bits["bfloat16"]
    assert bits["float32"][-1] < bits["float32"][0] - 0.1
    np.testing.assert_allclose(bits["bfloat16"], bits["float32"], rtol=0.01)
