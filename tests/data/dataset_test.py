import json

import numpy as np
import pytest

from samplernn_jax.data.dataset import Dataset, PcmSplit
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.clips import Clip
from samplernn_jax.preparation.recordings import Found, of_waveform
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.writing import Levels, write_split

SETTINGS = BuildSettings(sample_rate_hz=8000, clip_s=0.1)


@pytest.fixture
def folder(tmp_path):
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32)
    build_dataset(Found([of_waveform("x", waveform, 8000)]), tmp_path / "d", SETTINGS)
    return tmp_path / "d"


def test_a_missing_dataset_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no dataset there \(no dataset.json\)"):
        Dataset.open(tmp_path)


def test_a_missing_file_is_named(folder):
    (folder / "valid.00000.pcm16").unlink()
    with pytest.raises(ValueError, match="split valid cannot be read"):
        Dataset.open(folder)


@pytest.mark.parametrize("name", ["train.00000.pcm16", "train.lengths.npy", "dataset.json"])
def test_a_truncated_file_is_named(folder, name):
    file = folder / name
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"truncated|cannot be read|damaged"):
        Dataset.open(folder)


def test_another_version_is_refused(folder):
    file = folder / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))
    with pytest.raises(ValueError, match="must have version 2"):
        Dataset.open(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info["splits"].pop("valid"),
        lambda info: info["splits"]["valid"].pop("num_clips"),
        lambda info: info["splits"]["valid"]["shards"][0].pop("file"),
        lambda info: info.update(splits=[1]),
        lambda info: info["splits"].update(train=3),
        lambda info: info.pop("sample_rate_hz"),
    ],
)
def test_a_description_with_something_missing_is_named(folder, change):
    file = folder / "dataset.json"
    info = json.loads(file.read_text())
    change(info)
    file.write_text(json.dumps(info))
    with pytest.raises(
        ValueError, match=r"dataset.json: (splits|sample_rate_hz).*(is missing|must)"
    ):
        Dataset.open(folder)


def test_a_shard_outside_of_the_folder_is_not_read(folder):
    file = folder / "dataset.json"
    info = json.loads(file.read_text())
    shard = info["splits"]["train"]["shards"][0]
    shard["file"] = "../" + shard["file"]
    (folder / "train.00000.pcm16").rename(folder.parent / "train.00000.pcm16")
    file.write_text(json.dumps(info))
    with pytest.raises(ValueError, match="split train cannot be read"):
        Dataset.open(folder)


def test_the_digest_is_of_the_samples_and_not_of_where_they_came_from(folder, tmp_path):
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32)
    for name, change in (("same", 0.0), ("other", 0.1)):
        found = Found([of_waveform(name, waveform * np.float32(1 - change), 8000)])
        build_dataset(found, tmp_path / name, SETTINGS)
    assert Dataset.open(tmp_path / "same").digest == Dataset.open(folder).digest
    waveform[0] = 0.0
    found = Found([of_waveform("x", waveform, 8000)])
    build_dataset(found, tmp_path / "changed", SETTINGS)
    assert Dataset.open(tmp_path / "changed").digest != Dataset.open(folder).digest


@pytest.mark.parametrize("shard_samples", [1, 100, 1000, 10**6])
def test_shards_hold_whole_clips_whatever_their_size(tmp_path, shard_samples):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 400, 30)
    starts = np.cumsum(lengths) - lengths
    waveform = rng.uniform(-1, 1, int(lengths.sum())).astype(np.float32)
    clips = [Clip(0, int(a), int(a + n)) for a, n in zip(starts, lengths, strict=True)]
    info = write_split(
        tmp_path,
        "train",
        clips,
        lambda clip: waveform[clip.start : clip.stop],
        Levels(),
        shard_samples,
    )
    shards = [np.fromfile(tmp_path / shard["file"], "<i2") for shard in info["shards"]]
    assert all(len(shard) < shard_samples + 400 for shard in shards)
    assert len(shards) == 1 or shard_samples < 10**6
    split = PcmSplit("train", lengths, shards)
    for number, clip in enumerate(clips):
        expected = np.rint(waveform[clip.start : clip.stop] * np.float32(32768)).clip(-32768, 32767)
        np.testing.assert_array_equal(split.read(number, 0, int(lengths[number])), expected)
