import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.devices import make_mesh
from samplernn_jax.models import teacher_forcing
from samplernn_jax.models.teacher_forcing import Rows
from tests.tiny_models import TINY, TINY_WAVENET, random_tokens


def test_teacher_forcing_carries_the_carry():
    def step(params, carry, segment):
        return params["a"] + segment, Rows({"sum": carry["sum"] + segment}, segment)

    step.lower = step  # as every step has
    results = list(teacher_forcing.run(step, {"a": 10}, {"sum": jnp.zeros(2)}, [1, 2, 3]))
    assert [of_all for of_all, _ in results] == [11, 12, 13]
    assert [rows.carry["sum"].tolist() for _, rows in results] == [[1, 1], [3, 3], [6, 6]]
    assert [rows.kept for _, rows in results] == [1, 2, 3]


@pytest.mark.parametrize("config", [TINY, TINY_WAVENET])
def test_tokens_are_cut_into_segments_that_overlap(config):
    mesh = make_mesh(jax.devices()[:1])
    tokens = np.asarray(random_tokens(config, 2, 6))
    reset = np.arange(12).reshape(2, 6) % 5 == 0
    segments = [
        jax.device_get(segment)
        for segment in teacher_forcing.segments_of(config, mesh, tokens, reset, 2)
    ]
    overlap = config.overlap
    assert len(segments) == 3
    targets = [segment.tokens[:, overlap:] for segment in segments]
    np.testing.assert_array_equal(np.concatenate(targets, axis=1), tokens[:, overlap:])
    np.testing.assert_array_equal(np.concatenate([s.reset for s in segments], axis=1), reset)
    first, second = segments[:2]
    np.testing.assert_array_equal(second.tokens[:, :overlap], first.tokens[:, -overlap:])
