import pytest

from samplernn_jax.runs.checkpoint import Checkpoints
from samplernn_jax.runs.integrity import recover
from samplernn_jax.runs.workdir import Workdir
from tests.runs.saved import (
    CONFIG,
    as_before_the_record,
    assert_is,
    flip_a_bit,
    make_checkpoint,
    params_of,
    save,
    save_and_record,
    the_data_of,
    truncate,
)


def damage_metrics(file):
    (step_of(file) / "metrics" / "metrics").write_text("")


def damage_checksums(file):
    (step_of(file) / "checksums.json").write_text("[1]")


def step_of(file):
    return next(folder for folder in file.parents if folder.name.isdigit())


@pytest.mark.parametrize(
    "damage",
    [truncate, flip_a_bit, lambda file: file.unlink(), damage_metrics, damage_checksums],
    ids=["truncated", "flipped", "missing", "metrics", "checksums"],
)
@pytest.mark.parametrize("step", [3, 1])
def test_a_damaged_checkpoint_is_put_aside_and_another_is_used(tmp_path, damage, step):
    save(tmp_path, 1, 2, 3)
    as_before_the_record(tmp_path, {1: 1.0, 2: 2.0, 3: 3.0})
    damage(the_data_of(tmp_path, step))
    lines = []
    recover(Workdir(tmp_path), lines.append)
    assert f"The checkpoint of step {step} is damaged" in lines[0]
    assert (tmp_path / "damaged_checkpoints" / str(step)).is_dir()
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        assert checkpoints.latest_step == (2 if step == 3 else 3)
        latest = checkpoints.latest_step
        assert_is(checkpoints.restore(like=make_checkpoint(0)).params, latest)
        if step == 3:
            save_and_record(checkpoints, 3, 3.0)
            assert_is(params_of(tmp_path, 3), 3)


def test_sound_checkpoints_stay_where_they_are(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "checkpoints" / "2" / "checksums.json").unlink()  # killed before it was written
    recover(Workdir(tmp_path), pytest.fail)
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        assert checkpoints.latest_step == 2


def test_damage_to_all_checkpoints_never_starts_a_run_anew(tmp_path):
    save(tmp_path, 1, 2)
    for step in (1, 2):
        truncate(the_data_of(tmp_path, step))
    for _ in range(2):
        with pytest.raises(ValueError, match="every checkpoint is damaged; choose another"):
            recover(Workdir(tmp_path), lambda _: None)


def test_what_a_kill_in_a_save_left_is_removed(tmp_path):
    save(tmp_path, 1)
    left = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (left / "params.orbax-checkpoint-tmp").mkdir(parents=True)
    recover(Workdir(tmp_path), pytest.fail)
    assert not left.exists()
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        assert checkpoints.latest_step == 1
        checkpoints.save(2, make_checkpoint(2))
    assert_is(params_of(tmp_path, 2), 2)
