"""Compiles for a TPU slice of 16 chips, without one.

    pip install -e ".[test,tpu]" && python -m pytest -m tpu

libtpu, which the extra `tpu` brings, compiles for a description of the slice.
"""

import functools
import os
import re

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies

from samplernn_jax.config import DataConfig, ExperimentConfig, ModelConfig, ParallelConfig
from samplernn_jax.devices import make_mesh, replicated_shapes, row_shapes
from samplernn_jax.models import interface as architectures
from samplernn_jax.sampling.engines.interface import first_state
from samplernn_jax.sampling.engines.scan import block_step
from samplernn_jax.sampling.schedules import Points
from samplernn_jax.sampling.strategies import Strategy
from samplernn_jax.training import plan
from samplernn_jax.training.step import init_state, map_train_step

pytestmark = pytest.mark.tpu

MODEL = ModelConfig(frame_sizes=(2, 8), dim=128, emb_size=32)


@pytest.fixture(scope="module")
def mesh():
    pytest.importorskip("libtpu", reason="the extra `tpu` is not installed")
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # there is no machine to ask where it is
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # two workers may describe it at a time
    slice_of_16 = topologies.get_topology_desc("v5e:4x4", platform="tpu")
    assert len(slice_of_16.devices) == 16
    return make_mesh(slice_of_16.devices)


def num_aliased(program):
    """Arguments whose buffers the results take over."""
    header = program.splitlines()[0]
    return len(re.findall(r"\}: \(\d+, \{\}, (?:may|must)-alias\)", header))


def gradient_all_reduces(program):
    """All reductions over the devices of more than a number."""
    lines = [line for line in program.splitlines() if re.search(r" all-reduce(-start)?\(", line)]
    return [line for line in lines if re.search(r"f32\[\d", line.split("all-reduce(")[0])]


@pytest.mark.parametrize(
    "parallel",
    [ParallelConfig(), ParallelConfig(microbatches=2), ParallelConfig(steps_per_call=5)],
    ids=["plain", "microbatches", "steps_per_call"],
)
def test_a_step_reduces_gradients_once_and_takes_over_what_is_donated(mesh, parallel):
    config = ExperimentConfig(
        model=MODEL, data=DataConfig(path="none", batch_size=64, seq_len=64), parallel=parallel
    )
    params = architectures.abstract_params(MODEL)
    state = jax.eval_shape(lambda params: init_state(config.optimizer, params), params)
    carry = jax.eval_shape(lambda params: architectures.initial_carry(MODEL, params, 64), params)
    lowered = map_train_step(config, mesh).lower(
        replicated_shapes(mesh, state),
        row_shapes(mesh, carry),
        row_shapes(mesh, plan.random_segment(config, 64)),
    )
    program = lowered.compile().as_text()
    assert len(gradient_all_reduces(program)) == 1
    assert num_aliased(program) == len(jax.tree.leaves((state, carry)))


def test_the_sampler_compiles_and_takes_over_its_state(mesh):
    params = jax.tree.map(
        lambda x: jnp.ones(x.shape, x.dtype), architectures.abstract_params(MODEL)
    )
    folded = architectures.architecture(MODEL).fold(params)
    keys = jax.random.split(jax.random.key(0), mesh.size)
    context = jnp.zeros((mesh.size, MODEL.overlap), jnp.int32)
    state = jax.eval_shape(functools.partial(first_state, MODEL), params, context, keys)
    points = Points(jnp.zeros((mesh.size, 1)), jnp.ones((mesh.size, 1)))
    lowered = block_step(MODEL, mesh, num_frames=16, sample_rate_hz=16_000).lower(
        replicated_shapes(mesh, folded),
        row_shapes(mesh, state),
        row_shapes(mesh, (Strategy(points, None, points), ())),
    )
    program = lowered.compile().as_text()
    assert num_aliased(program) == len(jax.tree.leaves(state))
    assert "while" in program
    assert "all-" not in program
