import dataclasses
import functools
import hashlib
import io
import json
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest
import soundfile

from samplernn_jax import audio
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.legacy import shuffled
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.named import catalog, finding
from samplernn_jax.preparation.named.fetching import fetch_archive, fetch_items
from tests.preparation.named.served import serving


def quiet(what, done, total):
    pass


def write(path, num_samples=800, rate=16_000, value=None, file_format="WAV"):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, num_samples) if value is None else np.full(num_samples, value)
    soundfile.write(path, noise, rate, format=file_format)
    return path


def with_counts(monkeypatch, name, **counts):
    dataset = dataclasses.replace(catalog.DATASETS[name], num_recordings=counts)
    monkeypatch.setitem(catalog.DATASETS, name, dataset)


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_every_dataset_says_what_it_is_and_whose(name):
    dataset = catalog.DATASETS[name]
    assert dataset.about
    assert dataset.licence
    assert dataset.source
    if dataset.num_recordings:
        assert dataset.settings.split_by == "given"
        assert set(dataset.num_recordings) == {"train", "valid", "test"}


def test_sc09_takes_the_digits_with_their_lists_wherever_they_lie(tmp_path, monkeypatch):
    root = tmp_path / "in" / "sc09"
    for name in ("zero/a.wav", "zero/b.wav", "nine/a.wav", "nine/c.wav", "seven/x.wav"):
        write(root / name)
    write(root / "marvin" / "a.wav")
    (root / "validation_list.txt").write_text("zero/a.wav\nmarvin/a.wav\n")
    (root / "testing_list.txt").write_text("nine/a.wav\n")
    with_counts(monkeypatch, "sc09", train=3, valid=1, test=1)
    found = catalog.obtain("sc09", tmp_path / "in", tmp_path / "cache", quiet)
    splits = {recording.name: recording.split for recording in found.recordings}
    assert splits == {
        "zero/a.wav": "valid",
        "zero/b.wav": "train",
        "seven/x.wav": "train",
        "nine/a.wav": "test",
        "nine/c.wav": "train",
    }
    info = build_dataset(found, tmp_path / "d", catalog.DATASETS["sc09"].settings)
    assert info["splits"]["train"]["num_clips"] == 3


@pytest.mark.parametrize(
    ("name", "pattern", "count"), [("youtubemix", "out{:03}.wav", 241), ("beethoven", "{}.wav", 50)]
)
def test_sashimis_splits_are_in_natural_order(tmp_path, monkeypatch, name, pattern, count):
    for number in range(count):
        write(tmp_path / "in" / pattern.format(number), 10)
    if count == 50:
        with_counts(monkeypatch, name, train=44, valid=3, test=3)
    found = catalog.obtain(name, tmp_path / "in", tmp_path / "cache", quiet)
    names = [recording.name for recording in found.recordings]
    assert names == [pattern.format(number) for number in range(count)]
    splits = [recording.split for recording in found.recordings]
    assert splits == sorted(splits, key=["train", "valid", "test"].index)


def test_music_is_joined_cut_shuffled_and_split_as_the_original_does(tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "_MUSIC_CLIP_S", 1)
    monkeypatch.setattr(finding, "_MUSIC_HELD_OUT", 3)
    monkeypatch.setattr(finding, "_MUSIC_BATCH", 4)
    with_counts(monkeypatch, "music", train=8, valid=3, test=3)
    # 18.5 s: 18 // 1 - 1 = 17 clips, 11 of them to train on, 8 of which fill batches of 4.
    for number, seconds in enumerate((7, 8, 3.5)):
        values = np.repeat(np.arange(8) / 10 + number / 100, 16_000)[: int(seconds * 16_000)]
        write(tmp_path / "in" / f"{number}.flac", 1)
        soundfile.write(tmp_path / "in" / f"{number}.flac", values, 16_000)
    seconds = [n / 10 for n in range(7)] + [n / 10 + 0.01 for n in range(8)]
    seconds += [n / 10 + 0.02 for n in range(4)]
    found = catalog.obtain("music", tmp_path / "in", tmp_path / "cache", quiet)
    order = [sorted(f"p{i}" for i in range(17))[i] for i in shuffled(17)]
    names = {
        split: [recording.name for recording in found.recordings if recording.split == split]
        for split in ("train", "valid", "test")
    }
    assert names == {"train": order[:8], "valid": order[11:14], "test": order[14:]}
    for recording in found.recordings:
        with recording.open() as opened:
            clip = np.concatenate(list(audio.resampled(opened, 16_000)))
        assert len(clip) == 16_000
        np.testing.assert_allclose(clip, seconds[int(recording.name[1:])], atol=1e-4)
    settings = dataclasses.replace(catalog.DATASETS["music"].settings, clip_s=1.0)
    build_dataset(found, tmp_path / "d", settings)
    assert Dataset.open(tmp_path / "d").splits["train"].lengths.tolist() == [16_000] * 8


def test_what_is_not_whole_is_refused(tmp_path):
    write(tmp_path / "in" / "1.wav")
    with pytest.raises(ValueError, match=r"has 0 recordings for train, but must have 3808"):
        catalog.obtain("beethoven", tmp_path / "in", tmp_path / "cache", quiet)
    with pytest.raises(ValueError, match=r"must hold Speech Commands"):
        catalog.obtain("sc09", tmp_path / "in", tmp_path / "cache", quiet)


@pytest.mark.parametrize("name", ["blizzard", "onom"])
def test_what_its_owners_keep_has_to_be_given(tmp_path, name):
    with pytest.raises(ValueError, match=f"dataset={name}: cannot be downloaded .*--input"):
        catalog.obtain(name, None, tmp_path / "cache", quiet)
    for number in range(12):
        write(tmp_path / "in" / f"{number}.wav", 8000 + 100 * number)
    found = catalog.obtain(name, tmp_path / "in", tmp_path / "cache", quiet)
    info = build_dataset(found, tmp_path / "d", catalog.DATASETS[name].settings)
    assert info["split_by"] == "recording"
    assert sum(split["num_recordings"] for split in info["splits"].values()) == 12


@pytest.fixture
def site(monkeypatch):
    """A server of the files in `site.files`, by path."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self.path)
            content = self.server.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments):
            pass

    with serving(Handler) as server:
        server.files, server.requests = {}, []
        yield server


def test_an_archive_is_downloaded_checked_unpacked_and_not_fetched_again(site, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("beethoven/1.wav", b"x")
    content = buffer.getvalue()
    site.files["/b/beethoven.zip"] = content
    sha256 = hashlib.sha256(content).hexdigest()
    told = []
    for _ in range(2):
        fetch_archive(
            f"{site.url}/b/beethoven.zip",
            len(content),
            sha256,
            tmp_path / "beethoven" / "files",
            lambda *what: told.append(what),
        )
    assert site.requests == ["/b/beethoven.zip"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / "beethoven" / "files" / "beethoven" / "1.wav"]
    assert told[-1] == ("unpacking beethoven.zip", 1, 1)


def test_items_are_listed_and_what_belongs_here_is_downloaded_and_checked(site, tmp_path):
    fetch = functools.partial(
        fetch_items,
        ("One", "Two"),
        lambda name: name.endswith(".ogg"),
        tmp_path / "files",
        quiet,
        site.url,
    )
    for item in ("One", "Two"):
        listing = [
            {"name": name, "size": "5", "sha1": hashlib.sha1(item.encode() * 2).hexdigest()}
            for name in (f"{item} a.ogg", f"../{item}.ogg", f"{item}.mp3")
        ]
        site.files[f"/metadata/{item}"] = json.dumps({"files": listing}).encode()
        for name in (f"{item}%20a.ogg", f"../{item}.ogg"):
            site.files[f"/download/{item}/{name}"] = item.encode() * 2
    with pytest.raises(ValueError, match="it has 6 bytes, not 5"):
        fetch_at_once(fetch)
    for path, content in site.files.items():
        site.files[path] = content.replace(b'"5"', b'"6"')
    (tmp_path / "files" / "01_One" / "metadata.json").unlink()
    fetch_at_once(fetch)
    found = sorted(path.name for path in (tmp_path / "files").rglob("*.ogg"))
    assert found == ["One a.ogg", "One.ogg", "Two a.ogg", "Two.ogg"]
    counts = Counter(site.requests)
    fetch_at_once(fetch)
    assert Counter(site.requests) == counts


def fetch_at_once(fetch):
    """Without waiting between attempts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("samplernn_jax.preparation.named.download.time.sleep", lambda seconds: None)
        fetch()


@pytest.mark.parametrize("listing", [b"no json", b"[]", b'{"files": [{}]}', b'{"files": []}'])
def test_an_item_that_lists_nothing_is_named(site, tmp_path, listing):
    site.files["/metadata/One"] = listing
    with pytest.raises(ValueError, match=r"One: (lists no files|has none of the expected files)"):
        fetch_items(["One"], lambda name: True, tmp_path, quiet, site.url)
