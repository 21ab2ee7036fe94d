import jax
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.devices import check_batch_size, make_mesh, map_step, replicate, shard_rows
from samplernn_jax.evaluation.step import make_eval_step, segment_bits
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.training.step import (
    TrainState,
    gradients,
    init_state,
    make_train_step,
    repeat,
)
from tests.tiny_models import TINY, TINY_WAVENET, random_params, random_tokens

BATCH = 16


def random_segment(seed=0, config=TINY):
    """Rows with very different numbers of unmasked targets, as at the end of clips."""
    num_frames = 12 // config.top_frame_size
    tokens = np.asarray(random_tokens(config, BATCH, num_frames, seed=seed))
    lengths = np.random.default_rng(seed).integers(0, 13, BATCH)
    mask = np.arange(12)[None, :] < lengths[:, None]
    return Segment(tokens, mask, np.arange(BATCH) % 3 == 0)


def run(step, num_devices, kind, shared, segments, donate=(), config=TINY):
    mesh = make_mesh(jax.devices()[:num_devices])
    mapped = map_step(step, mesh, kind, donate)
    carry = initial_carry(config, random_params(config, seed=5), BATCH)
    carry = shard_rows(mesh, carry)
    shared = replicate(mesh, shared)
    outputs = []
    for segment in segments:
        output, carry = mapped(shared, carry, shard_rows(mesh, segment))
        outputs.append(jax.device_get(output))
        if isinstance(shared, TrainState):
            shared = output[0]
    return outputs, jax.device_get(carry)


def assert_close(a, b, atol=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=atol, rtol=1e-5), a, b)


def evaluation(params, carry, segment):
    sums, rows = make_eval_step(TINY)(params, carry, segment)
    return sums, rows.carry


def raw_gradients(params, carry, segment):
    grads, metrics, carry = gradients(TINY, OptimizerConfig(), params, carry, segment)
    return (grads, metrics), carry


@pytest.mark.parametrize(
    ("num_devices", "kind"),
    [(2, "shard_map"), (8, "shard_map"), pytest.param(8, "pmap", marks=pytest.mark.slow)],
)
def test_raw_gradients_are_those_of_one_device(num_devices, kind):
    segments = [random_segment(0), random_segment(1)]
    params = random_params(TINY)
    expected = run(raw_gradients, 1, "shard_map", params, segments)
    assert_close(run(raw_gradients, num_devices, kind, params, segments), expected)


@pytest.mark.parametrize(
    ("num_devices", "kind"),
    [(1, "shard_map"), (2, "shard_map"), pytest.param(2, "pmap", marks=pytest.mark.slow)],
)
def test_gradients_of_microbatches_add_up_to_those_of_the_batch(num_devices, kind):
    def in_parts(params, carry, segment):
        grads, metrics, carry = gradients(
            TINY, OptimizerConfig(), params, carry, segment, microbatches=4
        )
        return (grads, metrics), carry

    segments = [random_segment(0), random_segment(1)]
    params = random_params(TINY)
    expected = run(raw_gradients, 1, "shard_map", params, segments)
    assert_close(run(in_parts, num_devices, kind, params, segments), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shard_map", "pmap"])
def test_several_steps_in_one_call_are_the_same_steps(kind):
    step = make_train_step(TINY, OptimizerConfig())
    segments = [random_segment(seed) for seed in range(4)]
    at_once = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *segments)
    state = init_state(OptimizerConfig(), random_params(TINY))
    singles, carry = run(step, 2, kind, state, segments)
    (together,), carry_together = run(repeat(step), 2, kind, state, [at_once])
    assert_close(carry_together, carry)
    assert_close(together[0], singles[-1][0])
    for name, values in together[1].items():
        np.testing.assert_allclose(values, [metrics[name] for _, metrics in singles], rtol=1e-5)


def test_gradients_are_those_of_the_mean_over_all_unmasked_targets():
    params, segment = random_params(TINY), random_segment()
    carry = initial_carry(TINY, random_params(TINY, seed=5), BATCH)

    def mean_bits(params):
        return segment_bits(TINY, params, carry, segment)[0].total / segment.mask.sum()

    expected = jax.jit(jax.grad(mean_bits))(params)
    ((grads, metrics),), _ = run(raw_gradients, 8, "shard_map", params, [segment])
    assert_close(grads, expected)
    assert metrics["num_targets"] == segment.mask.sum()
    assert metrics["bits"] == pytest.approx(float(mean_bits(params)), rel=1e-5)


@pytest.mark.parametrize("config", [TINY, pytest.param(TINY_WAVENET, marks=pytest.mark.slow)])
def test_training_on_eight_devices_follows_one_and_pmap_follows_shard_map(config):
    optimizer = OptimizerConfig(ema_decay=0.5)
    step = make_train_step(config, optimizer)
    segments = [random_segment(seed, config) for seed in range(4)]

    def train(num_devices, kind):
        state = init_state(optimizer, random_params(config))
        return run(step, num_devices, kind, state, segments, donate=(0, 1), config=config)

    one = train(1, "shard_map")
    assert_close(train(8, "shard_map"), one, atol=1e-5)
    assert_close(train(8, "pmap"), one, atol=1e-5)
    assert one[0][-1][0].step == 4


def test_evaluation_sums_over_devices():
    segments = [random_segment(0), random_segment(1)]
    params = random_params(TINY)
    (one, _), (eight, _) = (run(evaluation, n, "shard_map", params, segments) for n in (1, 8))
    assert_close(eight, one, atol=1e-4)
    assert sum(int(sums["num_targets"]) for sums in one) == sum(s.mask.sum() for s in segments)


def test_a_batch_that_does_not_spread_evenly_is_refused():
    check_batch_size(make_mesh(), 16)
    with pytest.raises(ValueError, match="batch_size=12: must be divisible by the number of dev"):
        check_batch_size(make_mesh(), 12)
