import json

import numpy as np
import pytest
import soundfile

from samplernn_jax import audio
from samplernn_jax.data.build import BuildSettings, Recording, build_dataset, find_recordings
from samplernn_jax.data.dataset import Dataset

RATE = 8000


def noise(num_samples, seed=0, peak=0.5):
    waveform = np.random.default_rng(seed).uniform(-1, 1, num_samples).astype(np.float32)
    return peak * waveform / np.abs(waveform).max()


def settings(**changes):
    return BuildSettings(**{"sample_rate_hz": RATE, "clip_s": 0.1, **changes})


def all_samples(dataset):
    return np.concatenate([split.samples for split in dataset.splits.values()])


def test_every_sample_of_every_recording_is_in_exactly_one_split(tmp_path):
    lengths = [801, 5000, 1234, 7, 800, 4000, 999, 1, 2400, 1600, 3333, 812]
    waveforms = [noise(n, seed) for seed, n in enumerate(lengths)]
    recordings = [Recording(str(i), [w]) for i, w in enumerate(waveforms)]
    info = build_dataset(recordings, tmp_path / "d", settings())
    dataset = Dataset.open(tmp_path / "d")
    assert info["split_by"] == "recording"
    assert sum(split.num_samples for split in dataset.splits.values()) == sum(lengths)
    expected = np.concatenate(waveforms) * info["gain"] * 32767
    np.testing.assert_array_equal(np.sort(all_samples(dataset)), np.sort(np.rint(expected)))
    names = [name for split in info["splits"].values() for name in split["recordings"]]
    assert sorted(names) == sorted(map(str, range(len(lengths))))
    assert all(split.num_clips > 0 for split in dataset.splits.values())
    assert max(split.lengths.max() for split in dataset.splits.values()) == 800


def test_one_gain_keeps_loud_and_quiet_apart_and_silence_at_zero(tmp_path):
    quiet, loud = noise(4000, peak=0.05), noise(4000, seed=1, peak=0.5)
    quiet[:100] = 0
    info = build_dataset(
        [Recording("quiet", [quiet]), Recording("loud", [loud])], tmp_path / "d", settings()
    )
    assert info["gain"] == pytest.approx(2.0)
    samples = np.abs(all_samples(Dataset.open(tmp_path / "d")))
    assert samples.max() == 32767
    assert (samples == 0).sum() >= 100


def test_few_recordings_are_split_by_clip_and_say_so(tmp_path):
    info = build_dataset([Recording("one", [noise(8000)])], tmp_path / "d", settings())
    assert info["split_by"] == "clip"
    assert {name: split["num_clips"] for name, split in info["splits"].items()} == {
        "train": 8,
        "valid": 1,
        "test": 1,
    }


def test_one_very_long_recording_is_trained_on(tmp_path):
    recordings = [Recording("long", [noise(80_000)])]
    recordings += [Recording(str(i), [noise(900, i)]) for i in range(12)]
    for seed in range(5):
        info = build_dataset(recordings, tmp_path / str(seed), settings(seed=seed))
        assert "long" in info["splits"]["train"]["recordings"]


def test_the_same_seed_makes_the_same_dataset(tmp_path):
    for name in ("a", "b"):
        recordings = [Recording(str(i), [noise(999, i)]) for i in range(12)]
        build_dataset(recordings, tmp_path / name, settings(seed=3))
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_bad_files_are_passed_over_and_good_ones_kept(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    soundfile.write(folder / "good.wav", noise(16000), 16000)
    soundfile.write(folder / "sub" / "stereo.flac", np.stack([noise(9000)] * 2, 1), 44100)
    (folder / "broken.wav").write_bytes(b"RIFF no audio at all")
    soundfile.write(folder / "empty.wav", np.zeros(0), 16000)
    nan = noise(100)
    nan[50] = np.nan
    soundfile.write(folder / "nan.wav", nan, 16000, subtype="FLOAT")
    (folder / "notes.txt").write_text("not a recording")
    (folder / "._good.wav").write_bytes(b"hidden")
    info = build_dataset(find_recordings(folder, RATE), tmp_path / "d", settings())
    reasons = {entry["recording"]: entry["reason"] for entry in info["rejected"]}
    assert set(reasons) == {"broken.wav", "empty.wav", "nan.wav"}
    assert "cannot be read as audio" in reasons["broken.wav"]
    assert "holds no audio" in reasons["empty.wav"]
    assert "not finite" in reasons["nan.wav"]
    num_samples = sum(s.num_samples for s in Dataset.open(tmp_path / "d").splits.values())
    assert num_samples == pytest.approx(8000 + 9000 * 8000 / 44100, abs=2)


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        ([], "none of 0 recordings can be used"),
        ([Recording("x", [np.zeros(0, np.float32)])], "none of 1 recordings can be used: x: holds"),
        ([Recording("x", [np.zeros(4000, np.float32)])], "all 1 recordings are silent"),
        ([Recording("x", [noise(1000)])], "clip_s=0.1: gives 2 clips, fewer than one for each"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused_and_leaves_nothing(tmp_path, recordings, message):
    with pytest.raises(ValueError, match=message):
        build_dataset(recordings, tmp_path / "d", settings())
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        build_dataset([Recording("x", [noise(4000)])], tmp_path / "d", settings())
    assert list((tmp_path / "d").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate_hz": 10}, "sample_rate=10: must be from 1000 to 192000"),
        ({"clip_s": 0.0}, "clip_s=0.0: must be greater than 0"),
        ({"held_out": 0.5}, "held_out=0.5: must be between 0 and 0.5"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
    ],
)
def test_settings_name_the_rule_they_break(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)


def test_a_folder_without_audio_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="holds no audio file"):
        find_recordings(tmp_path, RATE)
    with pytest.raises(ValueError, match="must be an existing folder"):
        find_recordings(tmp_path / "missing", RATE)


@pytest.fixture
def dataset_folder(tmp_path):
    build_dataset([Recording("x", [noise(8000)])], tmp_path / "d", settings())
    return tmp_path / "d"


def test_a_missing_dataset_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no dataset there \(no dataset.json\)"):
        Dataset.open(tmp_path)


def test_a_missing_file_is_named(dataset_folder):
    (dataset_folder / "valid.pcm16").unlink()
    with pytest.raises(ValueError, match="split valid cannot be read"):
        Dataset.open(dataset_folder)


@pytest.mark.parametrize("name", ["train.pcm16", "train.lengths.npy", "dataset.json"])
def test_a_truncated_file_is_named(dataset_folder, name):
    file = dataset_folder / name
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"truncated|cannot be read|damaged"):
        Dataset.open(dataset_folder)


def test_another_version_is_refused(dataset_folder):
    file = dataset_folder / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))
    with pytest.raises(ValueError, match="must have version 1"):
        Dataset.open(dataset_folder)


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_reading_keeps_pitch_and_length_whatever_the_rate(tmp_path, rate):
    seconds = np.arange(rate * 2) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * seconds)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, 0 * tone], axis=1), rate)
    waveform = audio.read(tmp_path / "tone.wav", RATE)
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(2 * RATE, abs=2)
    spectrum = np.abs(np.fft.rfft(waveform))
    assert np.argmax(spectrum) * RATE / len(waveform) == pytest.approx(440, abs=1)
    assert np.abs(waveform[1000:-1000]).max() == pytest.approx(0.25, abs=0.01)


def test_written_audio_reads_back(tmp_path):
    waveform = noise(1000)
    audio.write(tmp_path / "new" / "x.wav", waveform, RATE)
    np.testing.assert_allclose(audio.read(tmp_path / "new" / "x.wav", RATE), waveform, atol=4e-5)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.wav"]
