import json

import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.sampling.schedules import Schedule, at, points, read_schedules

RISING = Schedule((1.0, 3.0), (0.5, 1.5))


def values(setting, times_s, num_sequences=2):
    of_setting = points("temperature", setting, num_sequences, "at least 0", lambda x: x >= 0)
    times = jnp.broadcast_to(jnp.asarray(times_s, jnp.float32), (num_sequences, len(times_s)))
    return np.asarray(at(of_setting, times))


def test_a_number_is_the_same_for_all_and_always():
    np.testing.assert_array_equal(values(0.7, [0, 1, 99]), np.full((2, 3), np.float32(0.7)))


def test_lines_run_between_the_points_and_stay_level_outside():
    np.testing.assert_allclose(
        values(RISING, [0, 1, 2, 2.5, 3, 50])[0], [0.5, 0.5, 1, 1.25, 1.5, 1.5]
    )


def test_each_sequence_may_have_its_own():
    np.testing.assert_allclose(values([RISING, 0.9], [0, 2]), [[0.5, 1.0], [0.9, 0.9]], rtol=1e-6)


def test_settings_may_be_arrays():
    for setting in (np.array([0.5, 0.9]), jnp.array([0.5, 0.9]), [0.5, 0.9]):
        np.testing.assert_allclose(values(setting, [0]), [[0.5], [0.9]], rtol=1e-6)
    np.testing.assert_allclose(values(np.array(0.5), [0]), [[0.5], [0.5]])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            [1.0, 1.0, 1.0],
            "temperature: must be one value or one for each of the 2 sequences, got 3",
        ),
        ([1.0], "got 1"),
        (-0.5, "temperature=-0.5: must be at least 0"),
        (float("nan"), "temperature=nan: must be at least 0"),
        (Schedule((0.0, 1.0), (1.0, -2.0)), "temperature=-2: must be at least 0"),
    ],
)
def test_a_bad_setting_is_named(setting, message):
    with pytest.raises(ValueError, match=message):
        values(setting, [0])


@pytest.mark.parametrize(
    ("times", "numbers", "message"),
    [
        ((0.0,), (), "times_s=.*: must be as many as values"),
        ((), (), "at least one"),
        ((1.0, 1.0), (1.0, 1.0), "must be ascending"),
        ((-1.0,), (1.0,), "must be ascending numbers of at least 0"),
        ((0.0, 1e39), (1.0, 1.0), r"times_s=1e\+39: must be at most 3.4"),
    ],
)
def test_a_schedule_has_a_value_for_each_ascending_time(times, numbers, message):
    with pytest.raises(ValueError, match=message):
        Schedule(times, numbers)


def test_schedules_are_read_from_json(tmp_path):
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"temperature": [[1, 0.5], [3, 1.5]], "top_p": [[0, 1]]}))
    read = read_schedules(file, ("temperature", "top_p"))
    assert read == {"temperature": RISING, "top_p": Schedule((0.0,), (1.0,))}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"temperature": 1}',
        '{"temperature": [[0]]}',
        '{"volume": [[0, 1]]}',
        '{"temperature": []}',
        '{"temperature": [[0, 1' + "0" * 400 + "]]}",
        '{"temperature": [[0, 1], [1e39, 1]]}',
    ],
)
def test_a_file_that_is_no_schedule_is_one_sentence(tmp_path, content):
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"schedule=.*x\.json: must be like"):
        read_schedules(file, ("temperature",))


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_schedules(tmp_path / "none.json", ("temperature",))
