import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.benchmarks import training as benchmark
from samplernn_jax.config import DataConfig, ExperimentConfig, OptimizerConfig, WaveNetConfig
from samplernn_jax.data.segments import Segment
from samplernn_jax.evaluation.step import segment_bits
from samplernn_jax.models.interface import architecture, initial_carry
from tests.tiny_models import GRID, TINY, TINY_WAVENET, random_params, random_tokens


def dot_flop(jaxpr, times=1):
    """FLOP of all matrix products of a program, those of a loop as often as it runs."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "cond":  # sums of rows, which some platforms multiply
            continue
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            depth = int(np.prod([shape[axis] for axis in contracted]))
            total += 2 * times * depth * int(np.prod(equation.outvars[0].aval.shape))
        inside = times * equation.params.get("length", 1)
        for value in equation.params.values():
            for inner in jax.tree.leaves(value, is_leaf=lambda x: hasattr(x, "eqns")):
                if hasattr(inner, "jaxpr"):
                    inner = inner.jaxpr
                if hasattr(inner, "eqns"):
                    total += dot_flop(inner, inside)
    return total


COUNTED = {name: config for name, config in GRID.items() if name != "independent"} | {
    "wavenet": TINY_WAVENET,
    "wavenet_of_one_layer": WaveNetConfig(num_blocks=1, layers_per_block=1, dim=3, q_levels=16),
}


@pytest.mark.parametrize("config", COUNTED.values(), ids=COUNTED.keys())
def test_the_formula_counts_the_products_of_forward_and_backward(config):
    batch, num_frames = 3, 2
    params = random_params(config)
    tokens = random_tokens(config, batch, num_frames)
    targets = num_frames * config.top_frame_size
    segment = Segment(
        np.asarray(tokens), np.ones((batch, targets), bool), np.zeros((batch, num_frames), bool)
    )
    carry = initial_carry(config, params, batch)

    def bits(params):
        return segment_bits(config, params, carry, segment)[0].total

    program = jax.make_jaxpr(jax.grad(bits))(params)
    flop = architecture(config).flop_per_sample(batch, targets) * batch * targets
    assert flop == pytest.approx(dot_flop(program.jaxpr))


@pytest.mark.slow
@pytest.mark.parametrize("model", [TINY, TINY_WAVENET])
def test_a_measurement_says_what_was_measured(model):
    config = ExperimentConfig(
        model=model,
        data=DataConfig(path="random", batch_size=8, seq_len=16),
        optimizer=OptimizerConfig(),
    )
    result = benchmark.measure(config, seconds=0.01)
    assert result["samples_per_s"] == pytest.approx(128 / result["seconds_per_step"])
    assert result["ratio"] == pytest.approx(result["flop_per_s"] / result["matmul_flop_per_s"])
    assert result["memory_bytes"] > 0
    assert jnp.isfinite(result["compile_s"])
