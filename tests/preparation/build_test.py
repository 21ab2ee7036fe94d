import contextlib
import dataclasses
import errno
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from samplernn_jax import storage
from samplernn_jax.audio import OpenRecording
from samplernn_jax.data.dataset import Dataset, damaged_files
from samplernn_jax.preparation import build as build_module
from samplernn_jax.preparation import recordings
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.recordings import Found, Recording, of_waveform
from samplernn_jax.preparation.settings import BuildSettings

RATE = 8000


def noise(num_samples, seed=0, peak=0.5):
    waveform = np.random.default_rng(seed).uniform(-1, 1, num_samples).astype(np.float32)
    return peak * waveform / np.abs(waveform).max()


def settings(**changes):
    """Nothing but clips of 0.1 s and the gain, unless asked for."""
    plain = BuildSettings(
        sample_rate_hz=RATE, clip_s=0.1, min_clip_s=0.0, drop_silence=False, remove_dc=False
    )
    return dataclasses.replace(plain, **changes)


def of(*waveforms, rate=RATE):
    return Found([of_waveform(str(i), w, rate) for i, w in enumerate(waveforms)])


def build(found, path, **changes):
    return build_dataset(found, path, settings(**changes))


def all_samples(path):
    splits = Dataset.open(path).splits.values()
    return np.concatenate([shard for split in splits for shard in split.shards]).astype(np.int32)


def facts(path):
    lines = (path / "recordings.jsonl").read_text().splitlines()
    return {entry["name"]: entry for entry in map(json.loads, lines)}


def test_every_sample_of_every_recording_is_in_exactly_one_split(tmp_path):
    lengths = [801, 5000, 1234, 7, 800, 4000, 999, 1, 2400, 1600, 3333, 812]
    waveforms = [noise(n, seed) for seed, n in enumerate(lengths)]
    info = build(of(*waveforms), tmp_path / "d")
    dataset = Dataset.open(tmp_path / "d")
    assert info["split_by"] == "recording"
    assert sum(split.num_samples for split in dataset.splits.values()) == sum(lengths)
    expected = np.rint(np.concatenate(waveforms) * np.float32(info["gain"]) * np.float32(32768))
    np.testing.assert_array_equal(
        np.sort(all_samples(tmp_path / "d")), np.sort(expected.clip(-32768, 32767))
    )
    assert all(len(entry["splits"]) == 1 for entry in facts(tmp_path / "d").values())
    assert sum(split["num_recordings"] for split in info["splits"].values()) == len(lengths)
    assert max(split.lengths.max() for split in dataset.splits.values()) == 800


def test_one_gain_keeps_loud_and_quiet_apart_and_silence_at_zero(tmp_path):
    quiet, loud = noise(4000, peak=0.05), noise(4000, seed=1, peak=0.5)
    quiet[:100] = 0
    info = build(of(quiet, loud), tmp_path / "d")
    assert info["gain"] == pytest.approx(2.0)
    samples = np.abs(all_samples(tmp_path / "d"))
    assert samples.max() >= 32767
    assert (samples == 0).sum() >= 100


def test_a_gain_for_each_recording_evens_them_out(tmp_path):
    waveforms = [noise(4000, seed, peak=0.02 * (seed + 1)) for seed in range(3)]
    info = build(of(*waveforms), tmp_path / "d", gain_per="recording")
    assert info["gain"] is None
    gains = [entry["gain"] for entry in facts(tmp_path / "d").values()]
    np.testing.assert_allclose(gains, [50, 25, 50 / 3], rtol=1e-5)


def test_no_gain_keeps_amplitudes_and_clips_what_exceeds_full_scale(tmp_path):
    info = build(of(noise(4000, peak=0.25), noise(4000, peak=2.0)), tmp_path / "d", gain="none")
    assert info["gain"] == 1.0
    assert (all_samples(tmp_path / "d").min(), all_samples(tmp_path / "d").max()) == (-32768, 32767)
    assert info["audio"]["over"] == pytest.approx(0.25, abs=0.02)
    assert any("exceed full scale" in warning for warning in info["warnings"])


def test_loudness_is_brought_to_its_target_but_never_over_full_scale(tmp_path):
    tone = np.sin(2 * np.pi * 997 * np.arange(5 * RATE) / RATE).astype(np.float32)
    info = build(of(0.03 * tone), tmp_path / "a", gain="loudness", loudness_lufs=-23.01)
    assert 0.03 * info["gain"] == pytest.approx(0.1, rel=0.01)
    tone *= np.float32(0.02)
    tone[::100] = 1.0
    info = build(of(0.5 * tone), tmp_path / "b", gain="loudness", loudness_lufs=-10.0)
    assert info["gain"] == pytest.approx(2.0)


def test_what_would_make_all_others_silent_is_passed_over(tmp_path):
    absurd = 6000 * noise(4000)
    info = build(of(noise(4000, 1), absurd, noise(4000, 2)), tmp_path / "d")
    assert info["gain"] == pytest.approx(2.0)
    expected = {"recording": "1", "reason": "has samples of 3e+03, where full scale is 1"}
    assert info["rejected"] == [expected]
    with pytest.raises(ValueError, match=r"fewer than one for each .* such as 1: has samples of"):
        build(of(noise(900), absurd), tmp_path / "e")


def test_a_gain_of_its_own_does_not_make_noise_of_a_silent_recording(tmp_path):
    dither = noise(4000, peak=2**-15)
    found = of(noise(4000, 1), dither, noise(4000, 2, peak=0.01))
    info = build(found, tmp_path / "d", gain_per="recording", drop_silence=True)
    assert info["rejected"] == [{"recording": "1", "reason": "is silent"}]


def test_the_mean_of_each_recording_is_removed(tmp_path):
    waveforms = [noise(4000, 0, 0.3) + np.float32(0.5), noise(4000, 1, 0.3) - np.float32(0.2)]
    info = build(of(*waveforms), tmp_path / "d", remove_dc=True)
    samples = all_samples(tmp_path / "d")
    assert abs(samples.mean()) < 3
    assert np.abs(samples).max() >= 32767
    assert 2.9 < info["gain"] < 3.5
    assert any("2 of 2 recordings have a DC offset" in warning for warning in info["warnings"])


def test_silence_is_left_out_and_counted(tmp_path):
    silent = np.zeros(RATE, np.float32)
    waveform = np.concatenate([silent, noise(RATE), silent, silent, noise(RATE, 1), silent])
    found = of(waveform, noise(RATE, 2), silent)
    info = build(found, tmp_path / "d", drop_silence=True, max_silence_s=0.5)
    kept = sum(split["num_samples"] for split in info["splits"].values()) / RATE
    assert kept == pytest.approx(3.0, abs=0.1)
    assert info["audio"]["silence_s"] == pytest.approx(4.0, abs=0.1)
    assert info["rejected"] == [{"recording": "2", "reason": "is silent"}]


def test_a_channel_is_picked_and_a_recording_without_it_passed_over(tmp_path):
    stereo = np.stack([noise(4000), np.zeros(4000)], axis=1).astype(np.float32)

    def opened():
        return contextlib.nullcontext(OpenRecording(RATE, 2, iter([stereo])))

    found = Found([Recording("stereo", opened), of_waveform("mono", noise(100), RATE)])
    info = build(found, tmp_path / "d", channel=2, gain="none")
    assert not all_samples(tmp_path / "d").any()
    assert info["rejected"][0]["reason"] == "has 1 channels, so there is no channel=2"


def test_few_recordings_are_split_by_clip_and_say_so(tmp_path):
    info = build(of(noise(8000)), tmp_path / "d")
    assert info["split_by"] == "clip"
    counts = {name: split["num_clips"] for name, split in info["splits"].items()}
    assert counts == {"train": 8, "valid": 1, "test": 1}


def test_the_same_seed_makes_the_same_dataset(tmp_path):
    for name in ("a", "b"):
        build(of(*(noise(999, i) for i in range(12))), tmp_path / name, seed=3)
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) == 8
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.fixture
def folder(tmp_path):
    """Good files and all kinds of bad ones."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    soundfile.write(folder / "good.wav", noise(16000), 16000)
    soundfile.write(folder / "sub" / "stereo.flac", np.stack([noise(9000)] * 2, 1), 44100)
    soundfile.write(folder / "whole.flac", noise(16000, 3), RATE)
    content = (folder / "whole.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(content[: len(content) * 8 // 10])
    (folder / "whole.flac").unlink()
    (folder / "broken.wav").write_bytes(b"RIFF no audio at all")
    (folder / "nothing.wav").write_bytes(b"")
    soundfile.write(folder / "empty.wav", np.zeros(0), 16000)
    nan = noise(100)
    nan[50] = np.nan
    soundfile.write(folder / "nan.wav", nan, 16000, subtype="FLOAT")
    (folder / "notes.txt").write_text("not a recording")
    return folder


def find(folder):
    return recordings.find([folder], leave_out=folder / "out")


def test_bad_files_are_passed_over_and_good_ones_kept(folder, tmp_path):
    info = build(find(folder), tmp_path / "d")
    reasons = {entry["recording"]: entry["reason"] for entry in info["rejected"]}
    assert set(reasons) == {"broken.wav", "empty.wav", "nan.wav", "nothing.wav"}
    assert "cannot be read as audio" in reasons["broken.wav"]
    assert reasons["empty.wav"] == "holds no audio"
    assert reasons["nothing.wav"] == "is empty (0 bytes)"
    assert "not a finite number" in reasons["nan.wav"]
    assert [entry["recording"] for entry in info["damaged"]] == ["truncated.flac"]
    lengths = {name: entry["num_samples"] for name, entry in facts(tmp_path / "d").items()}
    assert set(lengths) == {"good.wav", "sub/stereo.flac", "truncated.flac"}
    assert lengths["good.wav"] == 8000
    assert lengths["sub/stereo.flac"] == pytest.approx(9000 * 8000 / 44100, abs=2)
    assert 8000 < lengths["truncated.flac"] < 13_000
    assert info["num_ignored"] == 1


def test_the_number_of_workers_changes_nothing(folder, tmp_path):
    for workers in (1, 7):
        build_dataset(find(folder), tmp_path / str(workers), settings(), workers)
    for file in sorted((tmp_path / "1").iterdir()):
        assert file.read_bytes() == (tmp_path / "7" / file.name).read_bytes()


def test_the_output_may_be_inside_the_input(folder, tmp_path):
    build(find(folder), folder / "out")
    build(find(folder), tmp_path / "d")
    assert Dataset.open(folder / "out").digest == Dataset.open(tmp_path / "d").digest


def broken_after(num_recordings, error):
    """Recordings of which the last raises an error while it is read, and a count of readings."""
    readings = []

    def make(number, waveform):
        def blocks():
            readings.append(number)
            yield waveform[:100, None]
            if number == num_recordings and error:
                raise error
            yield waveform[100:, None]

        def opened():
            return contextlib.nullcontext(OpenRecording(RATE, 1, blocks()))

        return Recording(f"{number:02}", opened, fingerprint=str(number))

    found = Found([make(i, noise(2000, i)) for i in range(num_recordings + 1)])
    return found, readings


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_an_interrupted_preparation_goes_on_where_it_was(tmp_path, error):
    found, _ = broken_after(12, error)
    with pytest.raises(type(error), match=r"^$|d: cannot be written \(No space left\); the work"):
        build_dataset(found, tmp_path / "d", settings(), workers=1)
    assert not (tmp_path / "d").exists()
    found, readings = broken_after(12, None)
    build(found, tmp_path / "d")
    assert readings == [12]
    found, readings = broken_after(12, None)
    build(found, tmp_path / "straight")
    assert len(readings) == 13
    for file in sorted((tmp_path / "straight").iterdir()):
        assert file.read_bytes() == (tmp_path / "d" / file.name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "straight"]


@pytest.mark.parametrize("damage", ["truncated", "no_facts", "half_facts", "no_samples"])
def test_what_was_staged_badly_is_decoded_again(tmp_path, damage):
    found, _ = broken_after(12, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        build_dataset(found, tmp_path / "d", settings(), workers=1)
    facts = min((tmp_path / ".d.partial" / "staging").glob("*.json"))
    samples = facts.with_suffix(".f32")
    if damage == "truncated":
        samples.write_bytes(samples.read_bytes()[:-4])
    elif damage == "no_samples":
        samples.unlink()
    else:
        facts.write_text("" if damage == "no_facts" else '{"num_samples": 2000}')
    found, readings = broken_after(12, None)
    build(found, tmp_path / "d")
    assert len(readings) == 2
    assert sum(s.num_samples for s in Dataset.open(tmp_path / "d").splits.values()) == 26_000


def test_two_preparations_of_one_dataset_do_not_meet(tmp_path):
    inside = []

    def meanwhile():
        with pytest.raises(ValueError, match="d: is in use by process"):
            build(of(noise(4000)), tmp_path / "d")
        inside.append(True)
        yield noise(4000)[:, None]

    first = Recording("0", lambda: contextlib.nullcontext(OpenRecording(RATE, 1, meanwhile())))
    build(Found([first]), tmp_path / "d")
    assert inside
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("length", [4000, 0])
def test_the_lock_is_given_back_before_its_file_is_removed(tmp_path, monkeypatch, length):
    """Windows removes no file that is open; a dataset is made, or none can be of nothing."""
    holding, unlink = [], os.unlink

    @contextlib.contextmanager
    def held(folder, what):
        with storage.held(folder, what):
            holding.append(folder)
            try:
                yield
            finally:
                holding.clear()

    def of_windows(path, **options):
        if holding and Path(path).name == ".lock":
            raise PermissionError("is open")
        unlink(path, **options)

    monkeypatch.setattr(build_module, "held", held)
    monkeypatch.setattr(os, "unlink", of_windows)
    refused = pytest.raises(ValueError, match="no recording can be used")
    with contextlib.nullcontext() if length else refused:
        build(of(noise(4000)[:length]), tmp_path / "d")
    assert [path.name for path in tmp_path.iterdir()] == (["d"] if length else [])


def test_what_is_known_to_fail_fails_before_anything_is_decoded(tmp_path):
    found, readings = broken_after(4, None)
    with pytest.raises(ValueError, match=r"clip_overlap_s=0.05: must be 0 where single clips"):
        build(found, tmp_path / "d", clip_overlap_s=0.05)
    with pytest.raises(ValueError, match="split_by=given: no recording is in train"):
        build(found, tmp_path / "d", split_by="given")
    assert readings == []


def test_a_link_to_nowhere_is_no_place_for_a_dataset(tmp_path):
    (tmp_path / "d").symlink_to(tmp_path / "missing")
    with pytest.raises(ValueError, match="d: exists already"):
        build(of(noise(4000)), tmp_path / "d")


def test_a_changed_recording_and_another_rate_are_decoded_again(tmp_path):
    found, _ = broken_after(12, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        build_dataset(found, tmp_path / "d", settings(), workers=1)
    found, readings = broken_after(12, None)
    changed = [found.recordings[0]._replace(fingerprint="other"), *found.recordings[1:]]
    build(Found(changed), tmp_path / "d", clip_s=0.2)
    assert sorted(readings) == [0, 12]
    found, _ = broken_after(12, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        build_dataset(found, tmp_path / "e", settings(), workers=1)
    found, readings = broken_after(12, None)
    build(found, tmp_path / "e", sample_rate_hz=4000)
    assert len(readings) == 13


def test_an_interrupt_does_not_wait_for_recordings_that_are_being_read(tmp_path):
    waiting = threading.Event()

    def endless():
        while True:
            waiting.set()
            yield np.zeros((RATE, 1), np.float32)

    def fails():
        waiting.wait(timeout=10)
        raise KeyboardInterrupt
        yield

    found = Found(
        [
            Recording(name, lambda b=blocks: contextlib.nullcontext(OpenRecording(RATE, 1, b())))
            for name, blocks in (("endless", endless), ("fails", fails))
        ]
    )
    with pytest.raises(KeyboardInterrupt):
        build_dataset(found, tmp_path / "d", settings(), workers=2)


def test_the_same_dataset_again_is_nothing_to_do(folder, tmp_path):
    info = build(find(folder), tmp_path / "d")
    before = (tmp_path / "d" / "dataset.json").stat().st_mtime_ns
    assert build(find(folder), tmp_path / "d") == info
    assert (tmp_path / "d" / "dataset.json").stat().st_mtime_ns == before


def test_a_dataset_made_otherwise_is_not_touched(folder, tmp_path):
    build(find(folder), tmp_path / "d")
    with pytest.raises(ValueError, match=r"exists already, made with clip_s=0.1, not 0.2; remove"):
        build(find(folder), tmp_path / "d", clip_s=0.2)
    soundfile.write(folder / "new.wav", noise(16000), 16000)
    with pytest.raises(ValueError, match="exists already, made from other recordings"):
        build(find(folder), tmp_path / "d")


def test_another_folder_is_not_touched(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        build(of(noise(4000)), tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Found([]), "no recording can be used$"),
        (
            of(np.zeros(0, np.float32)),
            "no recording can be used; 1 recordings .* such as 0: holds no audio",
        ),
        (of(noise(1000)), "clip_s=0.1: gives 2 clips, fewer than one for each"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused_and_leaves_nothing(tmp_path, found, message):
    with pytest.raises(ValueError, match=message):
        build(found, tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_all_silent_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no recording can be used; .* such as 0: is silent"):
        build(of(np.zeros(4000, np.float32)), tmp_path / "d", drop_silence=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate_hz": 10}, "sample_rate=10: must be from 1000 to 192000"),
        ({"clip_s": 0.0}, "clip_s=0.0: must be greater than 0"),
        ({"clip_overlap_s": 0.1}, "clip_overlap_s=0.1: must be less than clip_s=0.1"),
        ({"clip_overlap_s": 0.09999}, "clip_overlap_s=0.09999: must be less than clip_s=0.1 by"),
        ({"held_out": 0.5}, "held_out=0.5: must be between 0 and 0.5"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"channel": -1}, "channel=-1: must be at least 0"),
        ({"gain": "max"}, "gain='max': must be one of none, peak, loudness"),
        ({"silence_db": 3.0}, "silence_db=3.0: must be at least -120, and below 0"),
        ({"gain": "loudness", "sample_rate_hz": 4000}, "gain=loudness: needs sample_rate of"),
    ],
)
def test_settings_name_the_rule_they_break(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)


def messages(path, *waveforms, rate=RATE, **changes):
    return " ".join(build(of(*waveforms, rate=rate), path, **changes)["warnings"])


def test_data_that_cannot_work_is_warned_of(tmp_path):
    fine = messages(tmp_path / "fine", noise(RATE * 601))
    assert fine == ""
    assert "The dataset holds 30 s of audio" in messages(tmp_path / "short", noise(RATE * 30))
    clipped = np.clip(noise(RATE * 30, peak=3.0), -1, 1)
    assert build(of(clipped), tmp_path / "share")["audio"]["clipped"] > 0.002
    assert "1 of 1 recordings are clipped; the worst is 0" in messages(tmp_path / "c", clipped)
    silent = np.zeros(RATE * 60, np.float32)
    mostly_silent = np.concatenate([noise(RATE * 30), silent])
    copies = messages(tmp_path / "copies", *[noise(8000, 1), noise(8000, 2), noise(8000, 1)])
    assert "1 of 3 recordings are copies of others" in copies
    assert "of the audio was silence and is left out" in messages(
        tmp_path / "s", mostly_silent, drop_silence=True
    )
    assert "are nearly silent" in messages(tmp_path / "q", mostly_silent)
    assert "have nothing above 2." in messages(tmp_path / "u", noise(40_000), rate=4000)


def test_loud_tones_that_were_not_clipped_are_not_taken_for_clipped(tmp_path):
    for hz in (30, 50, 110):
        tone = 0.999 * np.sin(2 * np.pi * hz * np.arange(44_100 * 10) / 44_100)
        tone = np.round(tone * 2**15) / 2**15
        assert "clipped" not in messages(tmp_path / str(hz), tone.astype(np.float32), rate=44_100)


def test_amplitudes_are_counted_in_bands_of_6_db(tmp_path):
    waveform = np.repeat(np.float32([1.0, -0.6, 0.3, 0.0]), 1000)
    content = build(of(waveform), tmp_path / "d", gain="none")["audio"]
    assert content["bands"][15] == 2000
    assert content["bands"][14] == 1000
    assert content["bands"][0] == 1000
    assert content["peak"] == pytest.approx(1.0, abs=1e-4)
    assert content["rms"] == pytest.approx(np.sqrt((waveform**2).mean()), rel=1e-4)


def test_changed_samples_are_found_by_their_checksum(tmp_path):
    build(of(noise(8000)), tmp_path / "d")
    assert damaged_files(tmp_path / "d") == []
    file = Path(tmp_path / "d" / "train.00000.pcm16")
    content = bytearray(file.read_bytes())
    content[77] ^= 1
    file.write_bytes(content)
    lengths = tmp_path / "d" / "valid.lengths.npy"
    lengths.write_bytes(lengths.read_bytes()[:-1] + b"\1")
    assert damaged_files(tmp_path / "d") == ["train.00000.pcm16", "valid.lengths.npy"]
