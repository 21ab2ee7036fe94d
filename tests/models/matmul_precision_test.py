"""Every product has the precision that the config says, in whatever a user may run.

Read off the programs that are lowered for a TPU, where it makes the difference.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig, WaveNetConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.devices import make_mesh, map_step
from samplernn_jax.evaluation import scores
from samplernn_jax.evaluation.step import make_eval_step
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.models.teacher_forcing import Inputs, forcing_step
from samplernn_jax.sampling import priming
from samplernn_jax.sampling.engines.interface import first_state
from samplernn_jax.sampling.engines.scan import block_step
from samplernn_jax.sampling.schedules import Points
from samplernn_jax.sampling.strategies import Strategy
from samplernn_jax.training.step import init_state, make_train_step
from tests.lowered import lowered, product_types, products
from tests.tiny_models import GRID, TINY_WAVENET, VARIANTS, fold, random_params, random_tokens

MODELS = {**VARIANTS, "independent": GRID["independent"], "wavenet": TINY_WAVENET}
FEW = {"1tier", "3tier", "skip_lstm_onehot", "independent", "wavenet"}  # have every kind of product
OPTIMIZER = OptimizerConfig()


def mesh():
    return make_mesh(jax.devices()[:1])


def inputs(config):
    tokens = np.asarray(random_tokens(config, batch=2, num_frames=3))
    shape = 2, tokens.shape[1] - config.overlap
    params = random_params(config)
    reset = np.zeros((2, shape[1] // config.top_frame_size), bool)
    segment = Segment(tokens, np.ones(shape, bool), reset)
    return params, initial_carry(config, params, 2), segment


def training(config):
    params, carry, segment = inputs(config)
    step = map_step(make_train_step(config, OPTIMIZER), mesh(), "shard_map", donate=())
    return lowered(step, init_state(OPTIMIZER, params), carry, segment)


def evaluation(config):
    step = map_step(make_eval_step(config), mesh(), "shard_map", donate=())
    return lowered(step, *inputs(config))


def scoring(config):
    params, carry, segment = inputs(config)
    step = forcing_step(config, mesh(), scores._bits_of_targets)
    return lowered(step, params, carry, Inputs(segment.tokens))


def prompting(config):
    params, carry, segment = inputs(config)
    keys = jax.random.split(jax.random.key(0), 2)
    if isinstance(config, WaveNetConfig):
        context = segment.tokens[:, : config.overlap]
        return lowered(priming._start_step(config, mesh(), False), params, context, keys)
    rows = Inputs(segment.tokens, segment.reset)
    return lowered(forcing_step(config, mesh(), priming._nothing), params, carry, rows)


def sampling(config):
    params = random_params(config)
    context = jnp.full((2, config.overlap), config.q_zero, jnp.int32)
    keys = jax.random.split(jax.random.key(0), 2)
    points = Points(jnp.zeros((2, 1)), jnp.ones((2, 1)))
    step = block_step(config, mesh(), 2, 16_000)
    state = first_state(config, params, context, keys)
    return lowered(step, fold(config, params), state, (Strategy(points), ()))


PROGRAMS = [training, evaluation, scoring, prompting, sampling]


every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(model, id=name, marks=() if name in FEW else pytest.mark.slow)
        for name, model in MODELS.items()
    ],
)
@every_program
def test_without_another_wish_every_product_is_exact(program, model):
    found = products(program(model))
    assert len(found) >= 2
    assert set(found) == {"HIGHEST, HIGHEST"}


@pytest.mark.parametrize("model", [VARIANTS["3tier"], TINY_WAVENET], ids=["3tier", "wavenet"])
@every_program
def test_with_default_no_product_is_but_sums_of_rows_that_tokens_look_up(program, model):
    found = products(program(dataclasses.replace(model, matmul_precision="default")))
    num_sums = int(program is training and model is VARIANTS["3tier"])
    assert found.count("HIGHEST, HIGHEST") == num_sums
    assert found.count("DEFAULT, DEFAULT") == len(found) - num_sums


def test_bfloat16_is_multiplied_and_nothing_else_is_rounded_to_it():
    """The one product of float32 sums up rows that tokens look up, see `sums_by_product`."""
    types = product_types(training(dataclasses.replace(VARIANTS["3tier"], dtype="bfloat16")))
    assert types.count(("f32", "f32", "f32")) == 1
    assert set(types) == {("f32", "f32", "f32"), ("bf16", "bf16", "f32")}
