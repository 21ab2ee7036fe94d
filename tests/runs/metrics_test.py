import json

import pytest

from samplernn_jax.runs.metrics import MetricsWriter, read_metrics
from samplernn_jax.runs.workdir import Workdir

LOGGED = [
    {"step": 2, "train_bits": 3.0},
    {"step": 3, "train_bits": 2.0},
    {"step": 3, "valid_bits": 2.5},
    {"step": 4, "train_bits": 1.0},
]


def write(workdir, entries, start_step=0):
    writer = MetricsWriter(workdir, start_step, is_validated=True)
    for entry in entries:
        writer.scalars(entry["step"], {k: v for k, v in entry.items() if k != "step"})
    writer.close()


def test_entries_are_read_as_they_were_written(tmp_path):
    assert read_metrics(Workdir(tmp_path)) == []
    write(Workdir(tmp_path), LOGGED)
    assert read_metrics(Workdir(tmp_path)) == LOGGED
    lines = Workdir(tmp_path).metrics_file.read_text().splitlines()
    assert [json.loads(line) for line in lines] == LOGGED


@pytest.mark.parametrize(("is_validated", "kept"), [(True, LOGGED[:3]), (False, LOGGED[:2])])
def test_what_a_stopped_run_logged_later_is_removed(tmp_path, is_validated, kept):
    write(Workdir(tmp_path), LOGGED)
    MetricsWriter(Workdir(tmp_path), 3, is_validated).close()
    assert read_metrics(Workdir(tmp_path)) == kept


def test_a_line_that_a_kill_cut_short_is_skipped(tmp_path):
    write(Workdir(tmp_path), LOGGED)
    with Workdir(tmp_path).metrics_file.open("ab") as file:
        file.write(b'{"step": 5, "tra\xc3')
    assert read_metrics(Workdir(tmp_path)) == LOGGED


def test_each_start_has_its_own_file_for_tensorboard(tmp_path):
    write(Workdir(tmp_path), LOGGED)
    (file,) = Workdir(tmp_path).tensorboard.iterdir()
    assert file.name.startswith("events")
    assert b"bits/train" in file.read_bytes()
    assert b"bits/valid" in file.read_bytes()
