import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from samplernn_jax.preparation import description, facts
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.recordings import Found, of_waveform
from samplernn_jax.preparation.settings import BuildSettings

RATE = 16_000
SETTINGS = BuildSettings(split_by="given", clip_s=2.0, gain="none")


def like_piano(seed, level=0.05):
    """Low and a little different each time."""
    rng = np.random.default_rng(seed)
    low = butter(2, rng.uniform(600, 900), fs=RATE, output="sos")
    waveform = sosfilt(low, rng.standard_normal(10 * RATE))
    return (level * rng.uniform(0.8, 1.2) * waveform / waveform.std()).astype(np.float32)


def like_jazz():
    return (0.05 * np.random.default_rng(99).standard_normal(10 * RATE)).astype(np.float32)


def build(path, **odd):
    """Twenty recordings that are alike but for those that are given."""
    waveforms = {f"{i:02}": like_piano(i) for i in range(20)} | odd
    split = {"00": "valid", "01": "valid", "02": "test"} | dict.fromkeys(odd, "valid")
    found = [
        of_waveform(name, x, RATE)._replace(split=split.get(name, "train"))
        for name, x in waveforms.items()
    ]
    return build_dataset(Found(found), path, SETTINGS)


def told(info):
    return [warning for warning in info["warnings"] if "unlike" in warning]


def test_held_out_recordings_like_the_others_are_no_matter(tmp_path):
    assert told(build(tmp_path / "d")) == []


@pytest.mark.parametrize(
    ("name", "waveform"), [("jazz", like_jazz()), ("loud", like_piano(3, 0.2))]
)
def test_a_held_out_recording_unlike_all_others_is_named(tmp_path, name, waveform):
    (warning,) = told(build(tmp_path / "d", **{name: waveform}))
    expected = "1 of 3 recordings in valid sound unlike all training recordings; the worst is"
    assert f"{expected} {name}" in warning


@pytest.mark.parametrize("num_trained", [3, 4])
def test_a_few_recordings_are_enough_to_tell_what_is_unlike_them(tmp_path, num_trained):
    trained = {str(i): like_piano(i) for i in range(num_trained)}
    for name, waveform, expected in (("jazz", like_jazz(), 1), ("piano", like_piano(8), 0)):
        waveforms = {**trained, "other": like_piano(9), name: waveform}
        splits = {"other": "test", name: "valid"}
        found = [
            of_waveform(n, x, RATE)._replace(split=splits.get(n, "train"))
            for n, x in waveforms.items()
        ]
        assert len(told(build_dataset(Found(found), tmp_path / name, SETTINGS))) == expected


def test_what_is_trained_on_too_is_not_unlike_it(tmp_path):
    info = build(tmp_path / "d", **{"19": like_jazz(), "jazz": like_jazz()[::-1]})
    assert len(told(info)) == 1
    found = [
        of_waveform(f"{i}", like_jazz() if i in (0, 5) else like_piano(i), RATE)._replace(
            split={0: "valid", 1: "test"}.get(i, "train")
        )
        for i in range(20)
    ]
    assert told(build_dataset(Found(found), tmp_path / "e", SETTINGS)) == []


def test_the_names_of_what_is_held_out_are_said(tmp_path, monkeypatch):
    info = build(tmp_path / "d", **{f"odd{i}": like_piano(i) for i in range(7)})
    lines = description.table(info, facts.read(tmp_path / "d")).splitlines()
    assert "  valid: 00, 01, odd0, odd1, odd2, odd3, odd4, odd5, odd6" in lines
    monkeypatch.setattr(description, "_MAX_NAMED", 5)
    lines = description.table(info, facts.read(tmp_path / "d")).splitlines()
    assert "  valid: 00, 01, odd0, odd1, odd2 and 4 more" in lines
    assert "  test: 02" in lines
