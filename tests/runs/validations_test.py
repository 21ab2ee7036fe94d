import math

import numpy as np
import pytest

from samplernn_jax.runs import validations
from samplernn_jax.runs.workdir import Workdir


def test_the_record_is_read_as_it_was_written_to_the_last_bit(tmp_path):
    bits = np.random.default_rng(0).normal(3.0, 1.0, 50).tolist()
    recorded = dict(enumerate(bits))
    assert validations.read(Workdir(tmp_path), {}) == {}
    validations.write(Workdir(tmp_path), recorded)
    assert validations.read(Workdir(tmp_path), {}) == recorded


def test_what_checkpoints_hold_counts_where_the_record_has_nothing(tmp_path):
    validations.write(Workdir(tmp_path), {2: 2.0})
    inside = {1: 3.0, 2: 9.0, 3: math.inf}
    assert validations.read(Workdir(tmp_path), inside) == {1: 3.0, 2: 2.0}


@pytest.mark.parametrize(
    ("recorded", "steps"),
    [({}, []), ({3: 2.0, 1: 2.0, 2: 2.0}, [1, 2, 3]), ({1: 2.0, 2: 1.0, 3: 1.0}, [2, 3, 1])],
)
def test_the_earliest_of_equals_comes_first(recorded, steps):
    assert validations.in_order(recorded) == steps
    best = validations.best(recorded)
    assert best == ((recorded[steps[0]], steps[0]) if steps else None)
