import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from samplernn_jax import storage
from samplernn_jax.runs import claim
from samplernn_jax.runs.claim import check_is_shared, claimed
from samplernn_jax.runs.workdir import Workdir

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, time
from pathlib import Path
from samplernn_jax.storage import held
with held(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_in_a_workdir_is_refused_with_who_is_there_and_since_when(holder, tmp_path):
    what = rf"workdir={tmp_path}: is in use by process {holder.pid} on \S+ since \d{{4}}-\d\d-\d\d "
    with pytest.raises(ValueError, match=what), claimed(Workdir(tmp_path)):
        pytest.fail("two runs are in it")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_workdir_is_free_again_when_its_holder_dies(holder, tmp_path, number):
    holder.send_signal(number)
    holder.wait()
    with claimed(Workdir(tmp_path)):
        facts = json.loads(storage.holder_file(tmp_path).read_text())
        assert facts["process"] == os.getpid()
    assert not storage.holder_file(tmp_path).exists()


def test_two_runs_of_one_process_do_not_meet_either(tmp_path):
    with claimed(Workdir(tmp_path)):
        with pytest.raises(ValueError, match="is in use by"), claimed(Workdir(tmp_path)):
            pytest.fail("two runs are in it")
        assert storage.holder_file(tmp_path).exists()
    with claimed(Workdir(tmp_path)):
        pass


def test_a_refused_run_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="no"), claimed(Workdir(tmp_path / "run")):
        raise ValueError("no")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="no"), claimed(Workdir(tmp_path / "run")):
        (tmp_path / "run" / "something").touch()
        raise ValueError("no")
    assert (tmp_path / "run" / "something").exists()


def test_a_folder_that_was_there_stays(tmp_path):
    with pytest.raises(ValueError, match="no"), claimed(Workdir(tmp_path)):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_who_is_refused_leaves_the_lock_of_who_has_just_taken_it(tmp_path, monkeypatch):
    """In between the holder has locked, and not yet said so."""
    monkeypatch.setattr(storage, "write_json", lambda *_: None)
    with storage.held(tmp_path, "it"):
        for _ in range(2):
            with pytest.raises(ValueError, match="by another process"), claimed(Workdir(tmp_path)):
                pytest.fail("two runs are in it")
        assert (tmp_path / ".lock").exists()


def test_processes_that_see_another_folder_are_named(tmp_path, monkeypatch):
    """Of three processes, of which the second sees nothing."""
    monkeypatch.setattr(claim, "processes_without", lambda seen: [] if seen else [1])
    monkeypatch.setattr("jax.process_count", lambda: 3)
    with storage.held(tmp_path, "it", "123"):
        check_is_shared(Workdir(tmp_path), "123", within_s=0.0)
        with pytest.raises(ValueError, match=r"of the 3 processes share, but process 1 does not"):
            check_is_shared(Workdir(tmp_path), "124", within_s=0.0)


@pytest.mark.parametrize("address", ["gs://bucket/run", "s3://b/run", "file:///tmp/run"])
def test_an_address_is_no_folder(address):
    with pytest.raises(ValueError, match=rf"workdir={address[:4]}.*must be a path on this machine"):
        Workdir(Path(address))
