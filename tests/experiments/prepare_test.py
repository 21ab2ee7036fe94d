import contextlib
import resource
import time

import numpy as np
import pytest
import soundfile

from tests.experiments.commands import call, call_well, start


def test_a_dataset_is_described_with_its_histogram_checksums_and_a_picture(dataset):
    output = call_well("prepare", f"--describe={dataset}")
    assert "passed over broken.flac" in output
    assert "-6 dB" in output
    assert "All checksums match." in output
    assert (dataset / "describe.png").read_bytes().startswith(b"\x89PNG")


def test_preparing_the_same_again_is_done_at_once_and_says_what_is_there(recordings, dataset):
    flags = ("--input", recordings, "--output", dataset, "--sample_rate=8000", "--clip_s=0.25")
    assert "3 went in, 1 were passed over" in call_well("prepare", *flags)


@pytest.mark.slow
def test_a_killed_preparation_goes_on(tmp_path):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, 1_500_000)
    for number in range(40):
        soundfile.write(tmp_path / "in" / f"{number:02}.wav", noise[number:], 48_000)
    staging = tmp_path / ".d.partial" / "staging"
    command = ("prepare", f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'd'}")
    process = start(*command)
    while len(list(staging.glob("*.json"))) < 5:
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.communicate()
    done = {file: file.stat().st_mtime_ns for file in staging.glob("*.json")}
    assert 5 <= len(done) < 40
    assert not (tmp_path / "d").exists()
    process = start(*command)
    while process.poll() is None:
        for file in done:
            with contextlib.suppress(FileNotFoundError):  # removed when all is done
                assert file.stat().st_mtime_ns == done[file]
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()
    assert "40 went in" in process.communicate()[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "in"]


@pytest.fixture
def small_files():
    """No file can become larger than 100 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_sentence_and_nothing_appears(tmp_path, small_files):
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 40_000)
    soundfile.write(tmp_path / "in" / "x.wav", noise, 16_000)
    code, _, errors = call("prepare", f"--input={tmp_path}/in", f"--output={tmp_path}/d")
    assert code == 2
    assert "d: cannot be written (File too large); the work so far is kept" in errors
    assert not (tmp_path / "d").exists()
