"""What sets the level of a dataset, what is said of it, and how it is written."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from samplernn_jax import audio
from samplernn_jax.audio import OpenRecording
from samplernn_jax.config import ModelConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.preparation import description, facts, recordings
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.recordings import Found, Recording, of_waveform
from samplernn_jax.preparation.settings import BuildSettings
from tests.encoded import encode, garble

RATE = 8000
SHARED = Path(__file__).parents[4] / "shared" / "audio"


def noise(seconds, peak=0.1, seed=0):
    waveform = np.random.default_rng(seed).uniform(-1, 1, round(seconds * RATE)).astype(np.float32)
    return peak * waveform / np.abs(waveform).max()


def build(path, *waveforms, **changes):
    found = Found([of_waveform(f"{i:02}", x, RATE) for i, x in enumerate(waveforms)])
    return build_dataset(found, path, settings(**changes))


def settings(**changes):
    plain = {"sample_rate_hz": RATE, "clip_s": 0.5, "drop_silence": False, "remove_dc": False}
    return BuildSettings(**(plain | changes))


def gains(path):
    return {recording.name: recording.gain for recording in facts.read(path)}


def clicked(waveform, *times_s, peak=1.0):
    waveform = waveform.copy()
    for at_s in times_s:
        waveform[round(at_s * RATE) : round(at_s * RATE) + 80] = peak
    return waveform


@pytest.mark.parametrize("gain_per", ["dataset", "recording"])
def test_clicks_do_not_set_the_level_and_are_clipped_counted_and_said(tmp_path, gain_per):
    waveform = clicked(noise(30), 3, 7.5, 21, peak=0.7)
    waveform[round(21.2 * RATE)] = -0.9
    info = build(tmp_path / "d", noise(30, seed=1), waveform, gain_per=gain_per)
    assert list(gains(tmp_path / "d").values()) == pytest.approx([10, 10])
    assert info["audio"]["over"] == pytest.approx(241 / (60 * RATE))
    assert info["audio"]["rms"] == pytest.approx(1 / 3**0.5, rel=0.01)
    (warning,) = [text for text in info["warnings"] if "peaks far above" in text]
    assert "1 of 2 recordings" in warning
    assert "01 at 21.20 s (19 dB above)" in warning
    assert "0.0502% of the samples were clipped" in warning
    assert "--gain=none" in warning
    assert "0.0502% of the samples here" in description.table(info, facts.read(tmp_path / "d"))


def test_clicks_that_no_gain_clips_are_not_said_to_be_clipped(tmp_path):
    waveform = clicked(noise(30), 3, peak=0.7)
    info = build(tmp_path / "a", waveform, gain="loudness", loudness_lufs=-40.0)
    (warning,) = [text for text in info["warnings"] if "peaks far above" in text]
    assert info["audio"]["over"] == 0
    assert "clipped" not in warning
    info = build(tmp_path / "b", waveform, gain="none")
    assert not any("peaks far above" in text for text in info["warnings"])


def test_a_garbled_mp3_is_as_loud_as_the_whole_one(tmp_path):
    time = np.arange(60 * RATE) / RATE
    chords = sum(np.sin(2 * np.pi * hz * time) for hz in (220, 277, 330)) * np.exp(-(time % 1) * 3)
    for name in ("whole", "garbled"):
        (tmp_path / name).mkdir()
    whole, garbled = tmp_path / "whole" / "x.mp3", tmp_path / "garbled" / "x.mp3"
    encode(whole, 0.05 * chords + noise(60, 0.02), RATE, "libmp3lame", bit_rate=32_000)
    peaks = []
    for seed in range(8):
        garble(whole, garbled, seed=seed)
        peaks.append(0.0)
        with contextlib.suppress(audio.DamagedError), audio.open_recording(garbled) as stream:
            for block in stream.blocks:
                peaks[-1] = max(peaks[-1], float(np.abs(block).max()))
    assert max(peaks) > 1.0  # which is what set the level
    garble(whole, garbled, seed=int(np.argmax(peaks)))
    infos = {}
    for name in ("whole", "garbled"):
        found = recordings.find([tmp_path / name], tmp_path)
        infos[name] = build_dataset(found, tmp_path / f"{name}_data", settings())
    assert infos["garbled"]["gain"] == pytest.approx(infos["whole"]["gain"], rel=0.5)
    assert infos["garbled"]["audio"]["rms"] > 0.7 * infos["whole"]["audio"]["rms"]
    assert any("x.mp3 at " in warning for warning in infos["garbled"]["warnings"])
    assert infos["whole"]["notes"] == []
    (note,) = infos["garbled"]["notes"]
    assert note["recording"] == "x.mp3"
    assert "its decoder complains" in note["note"]
    shown = description.table(infos["garbled"], facts.read(tmp_path / "garbled_data"))
    assert f"note on x.mp3: {note['note']}" in shown


@pytest.mark.parametrize("gain_per", ["dataset", "recording"])
def test_calls_that_are_rare_set_the_level(tmp_path, gain_per):
    """Two in half a minute of room noise, 0.8 % of the time."""
    call = 0.7 * np.hanning(960) * np.sin(0.9 * np.arange(960))
    forest = []
    for seed in range(20):
        forest.append(noise(30, 10 ** (-50 / 20), seed))
        for at in (3 * RATE + 7 * seed, 20 * RATE + 31 * seed):
            forest[-1][at : at + len(call)] += call
    info = build(tmp_path / "d", *forest, gain_per=gain_per)
    peak = max(np.abs(waveform).max() for waveform in forest)
    assert list(gains(tmp_path / "d").values()) == pytest.approx([1 / peak] * 20, rel=0.05)
    assert info["audio"]["over"] == 0
    assert not any("peaks far above" in text for text in info["warnings"])


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not on this machine")
@pytest.mark.parametrize("name", ["piano", "mixed", "digits"])
def test_the_loudest_sample_of_real_music_and_speech_sets_the_level(tmp_path, name):
    found = recordings.find([SHARED / name], tmp_path)
    info = build_dataset(found, tmp_path / "d", BuildSettings())
    peak = max(_peak(path) for path in (SHARED / name).iterdir() if path.suffix != ".txt")
    assert abs(20 * np.log10(info["gain"] * peak)) < 0.5
    assert set(gains(tmp_path / "d").values()) == {info["gain"]}
    assert info["audio"]["over"] < 1e-6


def _peak(path):
    """The largest amplitude about the mean at 16 kHz."""
    frames, rate = soundfile.read(path, always_2d=True)
    waveform = soxr.resample(frames.mean(axis=1), rate, 16_000)
    return np.abs(waveform - waveform.mean()).max()


@pytest.mark.parametrize("gain", ["peak", "loudness"])
def test_one_loud_recording_does_not_make_the_others_quiet(tmp_path, gain):
    quiet = [noise(20, peak=0.1 - 0.002 * seed, seed=seed) for seed in range(10)]
    loud = noise(20, peak=0.6, seed=10)
    alone = build(tmp_path / "a", *quiet, gain=gain, loudness_lufs=-20.0)
    info = build(tmp_path / "b", *quiet, loud, gain=gain, loudness_lufs=-20.0)
    assert info["gain"] == pytest.approx(alone["gain"])
    *others, own = gains(tmp_path / "b").values()
    assert others == [info["gain"]] * 10
    assert own == pytest.approx(min(1 / 0.6, info["gain"]))
    assert info["audio"]["over"] == 0
    if gain == "peak":
        (warning,) = [text for text in info["warnings"] if "much louder" in text]
        assert "1 of 11 recordings are much louder than all others; the worst is 10 at " in warning
        assert "(16 dB above them)" in warning
        assert "for all but 1 louder ones" in description.table(info, facts.read(tmp_path / "b"))


def test_the_loudness_is_not_held_back_by_a_click(tmp_path):
    tone = 0.005 * np.sin(2 * np.pi * 997 * np.arange(10 * RATE) / RATE).astype(np.float32)
    for name, waveform in (("a", tone), ("b", clicked(tone, 4))):
        info = build(tmp_path / name, waveform, gain="loudness", loudness_lufs=-23.01)
        assert info["gain"] == pytest.approx(0.1 / 0.005, rel=0.02)


def test_loud_and_quiet_recordings_that_are_no_exceptions_keep_their_relation(tmp_path):
    for name, peaks in (("a", [0.9, 0.4]), ("b", [0.9, 0.1, 0.1]), ("c", [0.9, 0.6, 0.35, 0.2])):
        info = build(tmp_path / name, *(noise(10, peak, 1) for peak in peaks))
        assert info["gain"] == pytest.approx(1 / 0.9)
        assert set(gains(tmp_path / name).values()) == {info["gain"]}


def test_next_to_silence_a_recording_is_not_loud(tmp_path):
    info = build(tmp_path / "d", noise(10, 0.9), *(noise(10, 1e-4, seed) for seed in range(9)))
    assert info["gain"] == pytest.approx(1 / 0.9)


def test_very_quiet_recordings_are_warned_of(tmp_path):
    faint = build(tmp_path / "a", noise(20, 10 ** (-70 / 20)))["warnings"]
    (warning,) = [text for text in faint if "very quiet" in text]
    assert "1 of 1 recordings are very quiet; the worst is 00 (gain 70 dB)" in warning
    assert "its sound uses 4 of them" in warning
    assert not any(
        "very quiet" in text for text in build(tmp_path / "b", noise(20, 0.02))["warnings"]
    )


def in_stereo(name, left, right):
    frames = np.stack([left, right], axis=1)
    return Recording(
        name,
        lambda: contextlib.nullcontext(OpenRecording(RATE, 2, iter(np.split(frames, 4)))),
    )


def test_a_recording_with_an_inverted_channel_goes_in_by_its_louder_one(tmp_path):
    left = noise(20)
    found = Found([in_stereo("inverted", 0.98 * left, -left), of_waveform("mono", left, RATE)])
    info = build_dataset(found, tmp_path / "d", settings(gain="none", drop_silence=True))
    assert info["rejected"] == []
    (warning,) = [text for text in info["warnings"] if "channels that cancel" in text]
    assert "1 of 2 recordings" in warning
    assert "such as inverted" in warning
    assert "so only channel 2 of it is used" in warning
    assert "--channel" in warning
    assert info["audio"]["rms"] == pytest.approx(left.std(), rel=0.01)
    picked = build_dataset(found, tmp_path / "e", settings(gain="none", channel=1))
    assert not any("cancel" in text for text in picked["warnings"])


def test_channels_that_nearly_cancel_are_warned_of(tmp_path):
    left, right = noise(20), noise(20, seed=1)
    found = Found([in_stereo("odd", left, -left + 0.6 * right), in_stereo("fine", left, right)])
    info = build_dataset(found, tmp_path / "d", settings(gain="none"))
    (warning,) = [text for text in info["warnings"] if "cancel" in text]
    assert "1 of 2 recordings have channels that partly cancel each other" in warning
    assert "the worst is odd (its mix loses 8 dB)" in warning
    assert "--channel=1" in warning


def test_full_scale_reaches_the_first_and_the_last_token(tmp_path):
    info = build(tmp_path / "d", np.repeat(np.float32([-1.0, 1.0, 0.0, -0.5]), RATE), gain="none")
    model = ModelConfig(q_levels=256, q_type="linear")
    splits = Dataset.open(tmp_path / "d").splits.values()
    tokens = np.concatenate(
        [
            split.tokens(i, 0, int(split.lengths[i]), model)
            for split in splits
            for i in range(split.num_clips)
        ]
    )
    assert np.unique(tokens).tolist() == [0, 64, 128, 255]
    assert (info["audio"]["peak"], info["audio"]["over"]) == (1.0, 0)
    assert info["audio"]["bands"] == [RATE, *[0] * 14, 3 * RATE]


def test_an_older_dataset_opens_and_is_described(tmp_path):
    build(tmp_path / "d", noise(20), noise(20, seed=1))
    digest = Dataset.open(tmp_path / "d").digest
    file, lines = tmp_path / "d" / "dataset.json", tmp_path / "d" / "recordings.jsonl"
    info = json.loads(file.read_text())
    del info["notes"]
    file.write_text(json.dumps(info))
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    kept = ("name", "num_samples", "minimum", "maximum", "gain", "splits")
    lines.write_text("".join(json.dumps({k: e[k] for k in kept}) + "\n" for e in entries))
    assert Dataset.open(tmp_path / "d").digest == digest
    described = facts.read(tmp_path / "d")
    assert "valid: 00" in description.table(info, described)
    assert "is unknown" in description.loudness(info, described)
    lines.write_text("{}\n")
    with pytest.raises(ValueError, match=r"recordings.jsonl, line 1: name: is missing"):
        facts.read(tmp_path / "d")
