import dataclasses
import json
import math
import shutil

import jax
import numpy as np
import pytest

from samplernn_jax.config import TrainConfig
from samplernn_jax.runs import checkpoint
from samplernn_jax.runs.checkpoint import Checkpoints, restore_params, save_imported
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
    steps_in,
    the_data_of,
    truncate,
)
from tests.tiny_models import TINY, random_params


def test_latest_and_best_checkpoints_are_kept(tmp_path):
    with Checkpoints(Workdir(tmp_path), TrainConfig(keep_latest=2, keep_best=1)) as checkpoints:
        for step, bits in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 4.0), (5, 5.0)):
            save_and_record(checkpoints, step, bits)
        assert checkpoints.latest_step == 5
        assert checkpoints.best == (1.0, 2)
    assert steps_in(tmp_path) == [2, 4, 5]
    assert restore_params(Workdir(tmp_path), TINY)[0] == 2


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_a_checkpoint_of_eight_devices_opens_on_fewer(tmp_path, num_devices):
    save(tmp_path, 1)
    fresh = make_checkpoint(0, num_devices)
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        restored = checkpoints.restore(like=fresh)
    jax.tree.map(np.testing.assert_array_equal, restored, make_checkpoint(1))
    assert restored.rest["carry"]["tier_2"].sharding == fresh.rest["carry"]["tier_2"].sharding


def test_checkpoints_that_hold_their_validation_are_read_as_before(tmp_path):
    save(tmp_path, 1, 2, 3)
    as_before_the_record(tmp_path, {1: 3.0, 2: 2.0, 3: math.inf})
    assert restore_params(Workdir(tmp_path), TINY)[0] == 2
    with Checkpoints(Workdir(tmp_path), TrainConfig(keep_latest=1)) as checkpoints:
        assert checkpoints.best == (2.0, 2)
        assert [checkpoints.is_validated(step) for step in (1, 2, 3)] == [True, True, False]
        assert_is(checkpoints.restore(like=make_checkpoint(0)).params, 3)
        save_and_record(checkpoints, 4, 2.5)
    assert steps_in(tmp_path) == [2, 4]
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        assert checkpoints.best == (2.0, 2)
        checkpoints.go_back(2)
        assert checkpoints.best == (2.0, 2)


def test_damage_that_no_checksum_shows_is_one_sentence(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "checkpoints" / "2" / "checksums.json").unlink()
    for file in (tmp_path / "checkpoints" / "2" / "params").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    recover(Workdir(tmp_path), pytest.fail)
    with (
        Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints,
        pytest.raises(ValueError, match=r"checkpoints/2: cannot be read .* before it is used"),
    ):
        checkpoints.restore(like=make_checkpoint(0))


def test_the_earliest_of_equal_validations_is_the_best_and_is_kept(tmp_path):
    with Checkpoints(Workdir(tmp_path), TrainConfig(keep_latest=1)) as checkpoints:
        assert checkpoints.best is None
        for step in (1, 2, 3, 4):
            save_and_record(checkpoints, step, 2.0)
            assert checkpoints.best == (2.0, 1)
    assert steps_in(tmp_path) == [1, 4]
    assert restore_params(Workdir(tmp_path), TINY)[0] == 1


def test_what_is_saved_and_not_validated_yet_replaces_nothing(tmp_path):
    with Checkpoints(Workdir(tmp_path), TrainConfig(keep_latest=1)) as checkpoints:
        for step, bits in ((1, 2.0), (2, 3.0)):
            save_and_record(checkpoints, step, bits)
        checkpoints.save(3, make_checkpoint(3))
        assert not checkpoints.is_validated(3)
        assert steps_in(tmp_path) == [1, 2, 3]
        assert restore_params(Workdir(tmp_path), TINY)[0] == 1
        checkpoints.remove(3)
        assert checkpoints.latest_step == 2


def test_the_latest_stands_for_the_best_where_none_was_validated(tmp_path):
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_checkpoint(step))
    assert restore_params(Workdir(tmp_path), TINY)[0] == 2


def test_the_best_of_the_record_counts_also_where_its_checkpoint_is_gone(tmp_path):
    save(tmp_path, 1, 2, 3)
    shutil.rmtree(tmp_path / "checkpoints" / "1")
    assert restore_params(Workdir(tmp_path), TINY)[0] == 2
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        assert checkpoints.best == (1.0, 1)


def test_the_record_ends_with_the_latest_checkpoint(tmp_path):
    save(tmp_path, 3, 4)
    (tmp_path / "validations.json").write_text('{"3": 3.0, "4": 4.0, "5": 1.0}')
    for _ in range(2):
        with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
            assert checkpoints.best == (3.0, 3)
            assert not checkpoints.is_validated(5)
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        checkpoints.go_back(3)
        assert not checkpoints.is_validated(4)
    assert json.loads((tmp_path / "validations.json").read_text()) == {"3": 3.0}


@pytest.mark.parametrize("content", ["", "[1]", '{"x": 1}', '{"1": "two"}', '{"1": null}'])
def test_a_damaged_record_is_one_sentence(tmp_path, content):
    save(tmp_path, 1)
    (tmp_path / "validations.json").write_text(content)
    with pytest.raises(ValueError, match=r"validations.json.* validated again"):
        Checkpoints(Workdir(tmp_path), CONFIG)


def test_a_damaged_checkpoint_is_not_evaluated_or_sampled_from(tmp_path):
    save(tmp_path, 1, 2)
    file = the_data_of(tmp_path, 1)
    flip_a_bit(file)
    with pytest.raises(ValueError, match=rf"{file}: is damaged; choose .* another step: 2"):
        restore_params(Workdir(tmp_path), TINY)
    assert_is(params_of(tmp_path, 2), 2)


def test_a_checkpoint_of_another_model_is_one_sentence(tmp_path):
    save(tmp_path, 1)
    for changes in ({"dim": 2 * 10**9}, {"n_rnn": 2}, {"frame_sizes": (2,)}):
        other = dataclasses.replace(TINY, **changes)
        with pytest.raises(ValueError, match=r"config.json: describes another model .*, whose \["):
            restore_params(Workdir(tmp_path), other)


def test_an_imported_model_has_checksums_too(tmp_path):
    save_imported(Workdir(tmp_path), random_params(TINY))
    assert_is(params_of(tmp_path, 0), 0)
    truncate(the_data_of(tmp_path, 0))
    with pytest.raises(ValueError, match="is damaged"):
        params_of(tmp_path, 0)


def test_going_back_removes_what_came_later(tmp_path):
    save(tmp_path, 1, 2, 3)
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        with pytest.raises(ValueError, match=r"step=9: workdir .* has checkpoints of steps 1, 2"):
            checkpoints.check_step(9)
        checkpoints.go_back(2)
        assert checkpoints.latest_step == 2
        assert_is(checkpoints.restore(like=make_checkpoint(0)).params, 2)
    assert not (tmp_path / "checkpoints" / "3").exists()


def test_a_full_disk_is_one_sentence_and_leaves_the_others_intact(tmp_path, monkeypatch):
    save(tmp_path, 1)
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        with monkeypatch.context() as patch:
            usage = shutil.disk_usage(tmp_path)._replace(free=2**20)
            patch.setattr(shutil, "disk_usage", lambda _: usage)
            with pytest.raises(ValueError, match=r"points/2: cannot be written \(1.0 MiB are free"):
                checkpoints.save(2, make_checkpoint(2))
        assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["1"]
        checkpoints.save(2, make_checkpoint(2))
    for step in (1, 2):
        assert_is(params_of(tmp_path, step), step)


def test_a_failed_write_is_one_sentence(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("NOT_FOUND: Error writing [os_error_code='28'] many paths")

    save(tmp_path, 1)
    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", fail)
    reason = r"cannot be written \(No space left on device\)"
    with (
        Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints,
        pytest.raises(ValueError, match=rf"checkpoints/2: {reason}; the checkpoints before it are"),
    ):
        checkpoints.save(2, make_checkpoint(2))
    with pytest.raises(ValueError, match=rf"checkpoints/0: {reason}$"):
        save_imported(Workdir(tmp_path), random_params(TINY))


def test_processes_that_see_other_checkpoints_are_refused(tmp_path, monkeypatch):
    save(tmp_path, 1, 2)
    monkeypatch.setattr(checkpoint, "text_from_first_process", lambda _: "[1, 2, 3]")
    with pytest.raises(ValueError, match=r"process 0 sees other .* those of steps 1, 2, 3; run"):
        Checkpoints(Workdir(tmp_path), CONFIG)


def test_going_back_to_an_imported_model_keeps_its_validation(tmp_path):
    save_imported(Workdir(tmp_path), random_params(TINY))
    save(tmp_path, 3)
    (tmp_path / "validations.json").write_text('{"0": 1.0, "3": 2.0}')
    with Checkpoints(Workdir(tmp_path), CONFIG) as checkpoints:
        assert checkpoints.best_until(0) == (1.0, 0)
        checkpoints.go_back(0)
        assert checkpoints.is_validated(0)
        assert checkpoints.best == (1.0, 0)
