import errno
import io
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from samplernn_jax.jobs import sample
from samplernn_jax.jobs.options.sample import SampleOptions
from samplernn_jax.sampling.generator import Generator
from tests.experiments.commands import call, call_well, start


def test_sample_writes_what_was_asked_for_and_the_same_again(workdir, tmp_path):
    files = []
    for name in ("a", "b"):
        output = call_well(
            "sample",
            *(f"--workdir={workdir}", f"--output={tmp_path / name}"),
            *("--num_sequences=2", "--duration_s=0.2", "--seed=4", "--temperature=0.9"),
        )
        files.append([Path(line) for line in output.splitlines()])
    assert len(files[0]) == 2
    assert soundfile.info(files[0][0]).samplerate == 8000
    assert soundfile.info(files[0][0]).frames == 1600
    for a, b in zip(*files, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.with_suffix(".png").exists()
    (how,) = (tmp_path / "a").glob("*.json")
    step = json.loads(how.read_text())["flags"]["step"]
    names = [f"step_{step}_temperature_0.9_seed_4{end}" for end in ("_0.wav", "_1.wav", ".json")]
    assert [files[0][0].name, files[0][1].name, how.name] == names


def test_the_same_options_in_python_write_the_same_files(workdir, tmp_path):
    """And the JSON beside them says what the flags are, as it did before there were options."""
    flags = (f"--workdir={workdir}", f"--output={tmp_path / 'flags'}", "--temperature=0.90,1.0")
    output = call_well("sample", *flags, "--num_sequences=2", "--duration_s=0.1", "--nopictures")
    told = []
    written = sample.write_files(
        SampleOptions(
            workdir=str(workdir),
            output=str(tmp_path / "python"),
            temperature=(0.9, 1.0),
            num_sequences=2,
            duration_s=0.1,
            pictures=False,
        ),
        told.append,
    )
    assert [line[:22] for line in told] == ["Generating 2 x 0.1 s ("]
    assert (written.num_generated, written.duration_s, written.exit_code) == (2, 0.1, 0)
    for line, path in zip(output.splitlines(), written.paths, strict=True):
        assert Path(line).name == path.name
        assert Path(line).read_bytes() == path.read_bytes()
    (by_flags,), (by_python,) = ((tmp_path / x).glob("*.json") for x in ("flags", "python"))
    how, other = json.loads(by_flags.read_text()), json.loads(by_python.read_text())
    options = SampleOptions.from_flags(other["flags"])
    assert (options.temperature, options.num_sequences) == ((0.9, 1.0), 2)
    assert options.as_flags() == other["flags"]
    assert how.pop("flags") | {"output": ""} == other.pop("flags") | {"output": ""}
    assert how == other


def test_files_written_with_flags_before_there_were_options_can_be_replaced(workdir, tmp_path):
    flags = (f"--workdir={workdir}", f"--output={tmp_path}", "--duration_s=0.1", "--nopictures")
    before = call_well("sample", *flags, "--temperature=1")
    (path,) = tmp_path.glob("*.json")
    how = json.loads(path.read_text())
    step = how["flags"]["step"]
    assert how["flags"] == {
        **{"workdir": str(workdir), "output": str(tmp_path), "num_sequences": 4},
        **{"duration_s": 0.1, "temperature": ["1"], "seed": 0, "step": step, "prompt": []},
        **{"random_state": False, "prompt_start_s": 0.0, "prompt_gain": 1.0, "block_s": 0.5},
        **{"keep_prompt": False, "rank": False, "normalize": False, "pictures": False},
        **{"encoding": "wav16", "stream": False},
    }
    how["flags"]["temperature"] = ["1.00"]
    path.write_text(json.dumps(how))
    assert call_well("sample", *flags, "--temperature=1.0") == before


@pytest.mark.slow
def test_sample_replaces_nothing_but_the_same(workdir, tmp_path):
    command = ("sample", f"--workdir={workdir}", f"--output={tmp_path / 'out'}")
    call_well(*command, "--duration_s=0.1")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    code, _, errors = call(*command, "--duration_s=0.2", "--num_sequences=2")
    assert code == 2
    assert "were made with another duration_s and num_sequences; choose" in errors
    code, _, errors = call(*command, "--temperature=1,0.95", "--num_sequences=2")
    assert code == 2
    assert "_temperature_0.95_seed_0_1.wav: exists already; choose" in errors
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    call_well(*command, "--duration_s=0.1", "--nopictures", "--num_sequences=4")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sample_leaves_nothing_when_it_is_stopped(workdir, number, tmp_path):
    process = start(
        *("sample", f"--workdir={workdir}", f"--output={tmp_path / 'out'}"),
        "--duration_s=10000",
    )
    while not [*tmp_path.glob("out/.partial_*/.*")]:
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_signal_while_pictures_are_drawn_leaves_the_audio(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr("samplernn_jax.plots.spectrogram", lambda *_, **__: signal.raise_signal(2))
    flags = (f"--workdir={workdir}", f"--output={tmp_path}", "--duration_s=0.1")
    code, output, errors = call("sample", *flags)
    assert code == 130
    assert errors.endswith("\nStopped after the audio was written.\n")
    assert [soundfile.info(path).frames for path in output.splitlines()] == [800] * 4


def test_sample_goes_on_from_prompts_and_ranks_what_comes_out(workdir, recordings, tmp_path):
    """What it says of the files is what scoring them says."""
    (tmp_path / "x.json").write_text('{"temperature": [[0, 0.5], [0.1, 1.5]]}')
    code, output, errors = call(
        "sample",
        *(
            f"--workdir={workdir}",
            f"--output={tmp_path / 'out'}",
            f"--schedule={tmp_path / 'x.json'}",
        ),
        *(f"--prompt={recordings / '0.wav'}", f"--prompt={recordings / '1.wav'}"),
        *("--prompt_start_s=0.1", "--prompt_duration_s=0.2", "--continuations=3", "--keep_prompt"),
        *("--duration_s=0.3", "--rank", "--reject=0.4,0.2", "--encoding=flac", "--nopictures"),
    )
    assert code == 0, errors
    assert "0.wav was resampled from 16000 Hz to the model's 8000" in errors
    files = [Path(line) for line in output.splitlines()]
    assert [file.name[:7] for file in files] == ["rank_0_", "rank_1_", "rank_2_"]
    assert all(soundfile.info(file).frames == 4000 for file in files)
    (how,) = (tmp_path / "out").glob("*.json")
    told = json.loads(how.read_text())
    sequences = told["sequences"]
    assert {x["number"] for x in sequences} | set(told["rejected"]) == set(range(6))
    assert [sequence["file"] for sequence in sequences] == [file.name for file in files]
    bits = [sequence["bits_per_sample"] for sequence in sequences]
    assert bits == sorted(bits)
    scored = call_well("evaluate", f"--workdir={workdir}", f"--audio={files[0]}")
    over_time = json.loads(scored.splitlines()[-1])["files"][0]
    assert over_time["num_samples"] == 4000
    assert 0 < over_time["bits_per_sample"] < 12
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_stream_is_stopped_saved_and_resumed_to_the_sample(workdir, tmp_path):
    state = tmp_path / "state.npz"
    command = ("sample", f"--workdir={workdir}", "--stream", "--encoding=raw16")
    with (tmp_path / "first.raw").open("wb") as first:
        process = start(*command, f"--save_state={state}", "--block_s=0.07", stdout=first)
        while (tmp_path / "first.raw").stat().st_size < 5000:
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("\nWrote ")
    assert errors.endswith(f" s; --resume_state={state} goes on.\n")
    with (tmp_path / "second.raw").open("w") as second:
        for seconds in ("0.1", "0.41"):
            states = (f"--resume_state={state}", f"--save_state={state}")
            call_well(*command, *states, f"--duration_s={seconds}", stdout=second)
    joined = (tmp_path / "first.raw").read_bytes() + (tmp_path / "second.raw").read_bytes()
    with (tmp_path / "whole.wav").open("w") as whole:
        call_well(*command[:3], f"--duration_s={len(joined) / 2 / 8000}", stdout=whole)
    assert (tmp_path / "whole.wav").read_bytes()[44:] == joined
    assert soundfile.info(tmp_path / "whole.wav").frames == len(joined) // 2
    began_with = Generator.from_workdir(workdir).resume(state).options
    assert SampleOptions.from_flags(began_with) == SampleOptions(
        workdir=str(workdir), stream=True, encoding="raw16", save_state=str(state), block_s=0.07
    )


def test_a_file_that_only_grows_keeps_the_header_that_it_began_with(workdir, tmp_path):
    file = tmp_path / "x.wav"
    command = ("sample", f"--workdir={workdir}", "--stream", "--duration_s=0.1")
    for mode, length in (("w", 1), ("a", 2)):
        with file.open(mode) as stdout:
            call_well(*command, stdout=stdout)
        assert file.stat().st_size == length * (44 + 1600)
    samples = np.frombuffer(file.read_bytes(), "<i2")
    np.testing.assert_array_equal(samples[: 22 + 800], samples[22 + 800 :])


def test_a_stream_that_finds_no_room_saves_its_state(workdir, tmp_path):
    state = tmp_path / "state.npz"
    command = ("sample", f"--workdir={workdir}", "--stream", f"--save_state={state}")
    with Path("/dev/full").open("w") as full:
        code, _, errors = call(*command, stdout=full)
    assert code == 2
    assert "standard output: cannot be written (No space left on device)" in errors
    assert errors.endswith(f"; --resume_state={state} goes on\n")
    assert state.exists()


@pytest.mark.slow
def test_a_stream_ends_when_its_player_is_closed(workdir):
    process = start("sample", f"--workdir={workdir}", "--stream", text=False)
    with process:
        assert process.stdout.read(4) == b"RIFF"
        process.stdout.close()
        assert process.stderr.read().decode().startswith("Played ")
    assert process.returncode == 0


def test_a_state_that_cannot_be_saved_is_named_and_not_said_to_go_on(
    workdir, tmp_path, monkeypatch
):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("samplernn_jax.sampling.stream.save_snapshot", fill)
    options = SampleOptions(
        workdir=str(workdir), stream=True, duration_s=0.1, save_state=str(tmp_path / "state.npz")
    )
    stream = sample.begin_stream(options, lambda _: None)
    with pytest.raises(ValueError, match=r"^save_state=.*state.npz: cannot be written \(No space"):
        sample.play(options, stream, io.BytesIO())


def test_the_files_are_listed_before_their_pictures_are_drawn(workdir, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("a picture")

    monkeypatch.setattr("samplernn_jax.plots.spectrogram", fail)
    flags = (f"--workdir={workdir}", f"--output={tmp_path}", "--duration_s=0.1")
    code, output, errors = call("sample", *flags)
    assert code == 2
    assert errors.endswith("error: a picture\n")
    assert [Path(line).is_file() for line in output.splitlines()] == [True] * 4
