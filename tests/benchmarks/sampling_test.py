import dataclasses

import jax
import pytest

from samplernn_jax.benchmarks.sampling import measure
from samplernn_jax.models.interface import architecture
from tests.tiny_models import TINY, TINY_WAVENET, VARIANTS, fold, random_params


def num_bytes(config):
    return architecture(config).bytes_per_sample(fold(config, random_params(config)))


def test_the_bytes_of_the_two_best_models_are_counted_by_hand():
    """Dim 8 stands for 1024; by the shapes that the folding leaves."""
    dim, q = TINY.dim, TINY.q_levels
    tier_1 = 2 * dim + dim * (dim + 1) + q * (dim + 1)
    gru = 3 * dim * dim
    tier_2 = (2 * 3 * dim + 3 * dim + gru + 2 * dim * (dim + 1)) / 2 + 3 * dim * dim / 4
    tier_3 = (4 * 3 * dim + 3 * dim + gru + 2 * dim * (dim + 1)) / 4
    assert num_bytes(TINY) == 4 * (tier_1 + tier_2 + tier_3)


def test_what_is_read_more_often_weighs_more():
    one_tier, wavenet = VARIANTS["1tier"], TINY_WAVENET
    for config in (one_tier, wavenet):
        leaves = jax.tree.leaves(fold(config, random_params(config)))
        whole = sum(leaf.nbytes for leaf in leaves)
        assert 0.5 * whole < num_bytes(config) <= whole
    longer = dataclasses.replace(TINY, frame_sizes=(2, 8))
    assert num_bytes(longer) < 2 * num_bytes(TINY)


@pytest.mark.slow
@pytest.mark.parametrize("config", [TINY, TINY_WAVENET])
def test_a_measurement_is_consistent(config):
    result = measure(config, 2, sample_rate_hz=8000, seconds=0.01)
    assert result["samples_per_s_total"] == 2 * result["samples_per_s_per_sequence"] > 0
    assert result["real_time_factor"] == result["samples_per_s_per_sequence"] / 8000
    assert result["bandwidth_ratio"] == pytest.approx(
        result["samples_per_s_per_sequence"] / result["bound_samples_per_s"]
    )
    assert result["dtype"] == "float32"
    assert min(result["compile_s"], result["cached_compile_s"]) > 0
