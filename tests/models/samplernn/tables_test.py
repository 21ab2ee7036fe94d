import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.config import OptimizerConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.devices import make_mesh, map_step
from samplernn_jax.models.interface import initial_carry
from samplernn_jax.models.samplernn.tables import (
    add_rows,
    look_up,
    sums_by_addition,
    sums_by_product,
    sums_by_sorting,
)
from samplernn_jax.training.step import init_state, make_train_step
from tests.lowered import lowered
from tests.tiny_models import GRID, VARIANTS, apply, random_params, random_tokens

WINDOW, LEVELS, DIM, BATCH, TIME = 5, 7, 6, 3, 11


def numbers(*shape, dtype=np.float64):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), dtype)


def names(*shape):
    return jnp.asarray(np.random.default_rng(0).integers(0, LEVELS, shape), jnp.int32)


def one_after_the_other(x, tables, tokens):
    for position, table in enumerate(tables):
        x = x + table[tokens[:, position : position + x.shape[1]]]
    return x


def test_the_sum_and_its_gradients_are_those_of_rows_looked_up_one_after_the_other():
    with jax.enable_x64():
        tokens = names(BATCH, TIME + WINDOW - 1)
        arguments = numbers(BATCH, TIME, DIM), numbers(WINDOW, LEVELS, DIM)
        weights = numbers(BATCH, TIME, 1)

        def result_and_gradients(add):
            def cost(x, tables):
                return jnp.sum(jnp.sin(add(x, tables, tokens)) * weights)

            return add(*arguments, tokens), jax.grad(cost, (0, 1))(*arguments)

        ours, expected = map(result_and_gradients, (add_rows, one_after_the_other))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), ours, expected)


@pytest.mark.parametrize("sums", [sums_by_product, sums_by_sorting])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_rows_are_summed_elsewhere_as_they_are_added_on_cpus(sums, dtype, tolerance):
    """Multiplied with ones and zeros, or sorted where there are many levels."""
    with jax.enable_x64():
        rows, of = numbers(500, DIM, dtype=dtype), names(500)
        added, ours = (summed(of, rows, LEVELS + 2) for summed in (sums_by_addition, sums))
        assert added.dtype == ours.dtype == dtype
        np.testing.assert_allclose(ours, added, rtol=0, atol=tolerance * np.abs(added).max())


@pytest.mark.parametrize(("q_levels", "multiplies"), [(4096, True), (65_536, False)])
def test_no_product_grows_with_many_levels(q_levels, multiplies):
    def gradient(table, tokens):
        return jax.grad(lambda table: look_up(table, tokens).sum())(table)

    program = lowered(jax.jit(gradient), jnp.zeros((q_levels, DIM)), names(500), platform="cuda")
    assert ("dot_general" in program) == multiplies


def segment_of(config, batch, num_frames):
    tokens = np.asarray(random_tokens(config, batch, num_frames))
    shape = batch, tokens.shape[1] - config.overlap
    return Segment(tokens, np.ones(shape, bool), np.zeros((batch, num_frames), bool))


def train_step_of(config):
    """The training step on one device, and what it is called with."""
    params, optimizer = random_params(config), OptimizerConfig()
    carry = initial_carry(config, params, 2)
    step = map_step(
        make_train_step(config, optimizer), make_mesh(jax.devices()[:1]), "shard_map", donate=()
    )
    return step, (init_state(optimizer, params), carry, segment_of(config, 2, 3))


@pytest.mark.parametrize("program", ["forward", "gradient"])
def test_the_memory_of_a_model_does_not_grow_with_the_window_of_tier_1(program):
    """In units of what is looked up for one position of the window of all samples."""
    batch, time, dim = 16, 512, 64

    def memory(size):
        config = dataclasses.replace(VARIANTS["2tier"], frame_sizes=(size,), dim=dim)
        params, tokens = random_params(config), random_tokens(config, batch, time // size)

        def mean(params):
            return apply(config, params, tokens)[0].mean()

        run = jax.jit(mean if program == "forward" else jax.grad(mean))
        analysis = run.lower(params).compile().memory_analysis()
        return analysis.temp_size_in_bytes / (4 * batch * time * dim)

    assert memory(16) < memory(4) + 1


def scatters(program):
    """The indices of each scattering into an array, and whether it goes by rows of a batch."""
    found = re.findall(
        r'"stablehlo.scatter"(.*?)\}\) : \(\S+, tensor<([0-9x]*)x\w+>', program, flags=re.DOTALL
    )
    return [("input_batching_dims" in how, indices.split("x")) for how, indices in found]


@pytest.mark.parametrize("name", ["1tier", "3tier", "skip_lstm_onehot", "independent"])
def test_on_a_gpu_no_gradient_is_a_sum_in_an_order_that_differs(name):
    """Every scattering goes to one place, or to one in each row of a batch."""
    train_step, args = train_step_of(GRID[name])
    found = scatters(lowered(train_step, *args, platform="cuda"))
    assert found
    for is_by_row, (*shape, _) in found:
        assert is_by_row or np.prod([int(x) for x in shape]) == 1
    on_cpu = scatters(lowered(train_step, *args, platform="cpu"))
    assert len(on_cpu) > len(found)
