import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.architectures import initial_carry
from samplernn_jax.config import OptimizerConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.losses import bits_per_sample
from samplernn_jax.model import SampleRNN, independent_logits
from samplernn_jax.training.optimizer import make_optimizer
from samplernn_jax.training.parallel import make_mesh, map_step
from samplernn_jax.training.step import gradients, init_state
from tests.models import TINY, random_params, random_tokens


def test_the_seed_determines_the_initial_parameters():
    optimizer = make_optimizer(OptimizerConfig())
    first, again, other = (init_state(TINY, optimizer, jax.random.key(s)) for s in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert int(first.step) == 0
    with pytest.raises(AssertionError):
        jax.tree.map(np.testing.assert_array_equal, first.params, other.params)


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
