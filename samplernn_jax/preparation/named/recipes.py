"""Datasets that go by a name: where they are, whose they are, and how the field splits them.

Downloads are checked against sizes and checksums, and where the field has fixed splits their
counts must be right, so that bits can be compared. The splits are those of

- the original (datasets/dataset.py and datasets/music of its repository) for music, and the paper
  (section 3) for blizzard and onom;
- SaShiMi (Goel et al. 2022, arXiv:2202.09729; src/dataloaders/audio.py of its repository) for
  sc09, youtubemix and beethoven: lists for the first; the others in natural order, the first 88 %
  to train on, up to 94 % to validate.
"""

import dataclasses
import hashlib
import re
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from samplernn_jax import audio
from samplernn_jax.data.dataset import SPLITS
from samplernn_jax.data.legacy import shuffled
from samplernn_jax.preparation import recordings
from samplernn_jax.preparation.named.archives import extract
from samplernn_jax.preparation.named.download import download
from samplernn_jax.preparation.recordings import Found, Recording
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.staging import Progress
from samplernn_jax.storage import read_json

_ARCHIVE_ORG = "https://archive.org"
_HUGGING_FACE = "https://huggingface.co/datasets/krandiash"

_SONATAS = tuple(
    "BeethovenPianoSonata" + suffix
    for suffix in (
        *("No.1", "No.2", "No.3", "No.4", "No.5", "No.6", "No.7", "No.8", "No.9", "No.10"),
        *("No.11", "No.12", "13", "No.14moonlight", "15", "16", "17", "No.18", "No.19", "No.20"),
        *("No.21Waldstein", "22", "No.23", "No.24", "No.25", "No.26", "No.27", "No.28", "No.29"),
        *("No.30", "No.31", "No.32"),
    )
)
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_MUSIC_CLIP_S = 8
_MUSIC_HELD_OUT = 256
_MUSIC_BATCH = 128


@dataclasses.dataclass(frozen=True)
class NamedDataset:
    """A recipe.

    Attributes:
        about: what it holds.
        source: where it comes from.
        licence: what its owners allow.
        settings: how it is prepared.
        find: gives the recordings of a folder that holds the dataset; the second folder is for
            files that are made on the way.
        fetch: downloads it into a folder; None where it cannot be had without asking.
        num_recordings: in each split of the whole dataset; None where that is not known.
    """

    about: str
    source: str
    licence: str
    settings: BuildSettings
    find: Callable[[Path, Path, Progress], Found]
    fetch: Callable[[Path, Progress], None] | None = None
    num_recordings: Mapping[str, int] | None = None


def obtain(name: str, folder: Path | None, cache: Path, progress: Progress) -> Found:
    """The recordings of a named dataset, each with its split where the field has one.

    Args:
        name: a key of `DATASETS`.
        folder: holds the dataset; None to download it.
        cache: folder for downloads and for files that are made on the way.
        progress: told how far the work is.

    Raises:
        ValueError: the dataset has to be given and is not, cannot be downloaded, or is not whole.
    """
    dataset, scratch = DATASETS[name], cache / name
    if folder is None:
        if dataset.fetch is None:
            raise ValueError(
                f"dataset={name}: cannot be downloaded ({dataset.licence}); get it from "
                f"{dataset.source} and give its folder with --input"
            )
        folder = scratch / "files"
        dataset.fetch(folder, progress)
    found = dataset.find(folder, scratch, progress)
    _check(name, folder, found)
    return found


def _check(name: str, folder: Path, found: Found) -> None:
    expected = DATASETS[name].num_recordings
    if expected is None:
        return
    counts = Counter(recording.split for recording in found.recordings)
    for split in SPLITS:
        if counts[split] != expected[split]:
            raise ValueError(
                f"dataset={name}: {folder} gives {counts[split]} recordings for {split}, must be "
                f"{expected[split]}; some files are missing or not of this dataset"
            )


def _fetch_archive(url: str, size: int, sha256: str, folder: Path, progress: Progress) -> None:
    """Downloads an archive and unpacks it; what is there already is not fetched again."""
    if folder.exists():
        return
    archive = folder.with_name(Path(urllib.parse.urlsplit(url).path).name)
    download(
        url, archive, size, f"sha256:{sha256}", progress=partial(_megabytes, progress, archive.name)
    )
    progress(f"unpacking {archive.name}", 0, 1)
    extract(archive, folder)
    progress(f"unpacking {archive.name}", 1, 1)
    archive.unlink()


class _ListedFile(TypedDict):
    """A file of an item on archive.org."""

    name: str
    sha1: NotRequired[Annotated[str, Field(pattern=r"^[0-9a-fA-F]{40}$")]]
    size: NotRequired[Annotated[str, Field(pattern=r"^[0-9]{1,15}$")]]


class _Listing(TypedDict):
    files: list[_ListedFile]


def _fetch_items(
    items: Sequence[str],
    wanted: Callable[[str], bool],
    folder: Path,
    progress: Progress,
    site: str = _ARCHIVE_ORG,
) -> None:
    """Downloads the files of items on archive.org, each item into a numbered folder."""
    for number, item in enumerate(items, start=1):
        into = folder / f"{number:02}_{item}"
        listing = into / "metadata.json"
        download(f"{site}/metadata/{item}", listing)
        try:
            files = read_json(listing, _Listing)["files"]
            chosen = [file for file in files if wanted(file["name"])]
        except ValueError as error:
            listing.unlink()
            raise ValueError(f"{site}/metadata/{item}: lists no files ({error})") from error
        if not chosen:
            raise ValueError(f"{site}/details/{item}: has none of the files that belong here")
        for file in chosen:
            name = Path(file["name"]).name
            url = f"{site}/download/{item}/{urllib.parse.quote(file['name'])}"
            checksum = f"sha1:{file['sha1']}" if "sha1" in file else None
            size = int(file["size"]) if "size" in file else None
            download(url, into / name, size, checksum, progress=partial(_megabytes, progress, name))


def _megabytes(progress: Progress, name: str, done: int, total: int | None) -> None:
    progress(f"downloading {name} (MB)", done >> 20, (total or done) >> 20)


def _any_audio(folder: Path, scratch: Path, progress: Progress) -> Found:
    """Whatever audio the folder holds."""
    del progress
    return recordings.find([folder], leave_out=scratch)


def _music(folder: Path, scratch: Path, progress: Progress) -> Found:
    """The sonatas one after the other, cut every 8 s, shuffled and split as the original does.

    It trains on as many clips as fill batches of 128. Its preprocess.py cuts the clips every
    second instead of every 8 s, so that what it tests with has nearly all been trained on; that
    is not repeated here.
    """
    found = recordings.find([folder], leave_out=scratch)
    prints = "\n".join(recording.fingerprint for recording in found.recordings)
    digest = hashlib.sha256(prints.encode(errors="surrogateescape")).hexdigest()[:16]
    rate = DATASETS["music"].settings.sample_rate_hz
    joined = scratch / f"joined_{digest}.wav"
    if not joined.exists():
        with audio.writer(joined, rate) as write_block:
            for block in _one_after_the_other(found.recordings, rate, progress):
                write_block(block)
    with audio.open_recording(joined) as stream:
        num_clips = stream.num_frames // rate // _MUSIC_CLIP_S - 1
    in_train = num_clips - 2 * _MUSIC_HELD_OUT
    in_batches = in_train // _MUSIC_BATCH * _MUSIC_BATCH
    names = sorted(f"p{number}" for number in range(num_clips))
    order = [names[number] for number in shuffled(num_clips)]
    splits = {
        "train": order[:in_batches],
        "valid": order[in_train:-_MUSIC_HELD_OUT],
        "test": order[-_MUSIC_HELD_OUT:],
    }
    clip_len = _MUSIC_CLIP_S * rate
    clips = [
        Recording(
            clip,
            partial(audio.open_recording, joined, int(clip[1:]) * clip_len, clip_len),
            f"{joined.name} {clip}",
            split,
        )
        for split, clips_of_split in splits.items()
        for clip in clips_of_split
    ]
    return found._replace(recordings=clips)


def _one_after_the_other(
    files: Sequence[Recording], sample_rate_hz: int, progress: Progress
) -> Iterator[audio.Waveform]:
    for number, recording in enumerate(files, start=1):
        try:
            with recording.open() as stream:
                yield from audio.resampled(stream, sample_rate_hz)
        except ValueError as error:
            raise ValueError(f"{recording.name}: {error}") from error
        progress("joining", number, len(files))


def _sc09(folder: Path, scratch: Path, progress: Progress) -> Found:
    """The digits of Speech Commands, with the lists of its authors."""
    del scratch, progress
    marker = next(iter(sorted(folder.rglob("validation_list.txt"))), None)
    if marker is None:
        raise ValueError(f"dataset=sc09: {folder} must hold Speech Commands (validation_list.txt)")
    root = marker.parent
    files = [path for digit in _DIGITS for path in sorted((root / digit).glob("*.wav"))]
    lists = {"valid": marker, "test": root / "testing_list.txt"}
    splits = {}
    for split, file in lists.items():
        for name in file.read_text(encoding="utf-8").split():
            splits[name] = split
    digits = [(path.relative_to(root).as_posix(), path) for path in files]
    return Found(
        [recordings.of_file(name, path, splits.get(name, "train")) for name, path in digits]
    )


def _in_natural_order(folder: Path, scratch: Path, progress: Progress) -> Found:
    """The first 88 % of the files to train on, up to 94 % to validate, the rest to test."""
    del scratch, progress
    files = sorted(
        (path for path in folder.rglob("*.wav") if not path.name.startswith(".")),
        key=lambda path: [int(part) for part in re.findall(r"\d+", path.stem)],
    )
    ends = int(0.88 * len(files)), int(0.94 * len(files))
    return Found(
        [
            recordings.of_file(path.name, path, SPLITS[sum(number >= end for end in ends)])
            for number, path in enumerate(files)
        ]
    )


_GIVEN = BuildSettings(drop_silence=False, remove_dc=False, split_by="given")

DATASETS: dict[str, NamedDataset] = {
    "music": NamedDataset(
        about="Beethoven's 32 piano sonatas, 8.2 hours in 3,712 + 256 + 256 clips of 8 s",
        source=f"{_ARCHIVE_ORG}/details/{_SONATAS[0]} and 31 more items",
        licence="public domain, as its page says",
        settings=_GIVEN,
        find=_music,
        fetch=partial(_fetch_items, _SONATAS, lambda name: name.lower().endswith(".ogg")),
        num_recordings={"train": 3712, "valid": 256, "test": 256},
    ),
    "huck": NamedDataset(
        about="Huckleberry Finn, two readings, as the original used (which two, it does not say)",
        source="LibriVox, on archive.org: huck_finn_librivox and huckleberry_mfs_librivox",
        licence="public domain",
        settings=BuildSettings(split_by="recording", held_out=1 / 14),
        find=_any_audio,
        fetch=partial(
            _fetch_items,
            ("huck_finn_librivox", "huckleberry_mfs_librivox"),
            lambda name: name.endswith(".mp3") and not name.endswith(("_64kb.mp3", "_vbr.mp3")),
        ),
    ),
    "blizzard": NamedDataset(
        about="one actress reading, 20.5 hours to train on",
        source="the Blizzard Challenge 2013",
        licence="to be signed with its organisers",
        settings=BuildSettings(held_out=0.07),
        find=_any_audio,
    ),
    "onom": NamedDataset(
        about="human vocal noises; each recording is a clip",
        source="the paper's authors",
        licence="not published",
        settings=BuildSettings(
            clip_s=60.0, drop_silence=False, split_by="recording", held_out=0.04
        ),
        find=_any_audio,
    ),
    "sc09": NamedDataset(
        about="spoken digits zero to nine, 38,908 recordings of up to 1 s",
        source=f"{_HUGGING_FACE}/sc09, the digits of Speech Commands v0.02",
        licence="CC BY 4.0",
        settings=dataclasses.replace(_GIVEN, clip_s=1.0, min_clip_s=0.0),
        find=_sc09,
        fetch=partial(
            _fetch_archive,
            f"{_HUGGING_FACE}/sc09/resolve/fe62f33d2af5db6f01e504ec1f360da7df9692e8/sc09.zip",
            893_855_183,
            "ca0cff7168708fe3e1d2d6fd8ac7b0c26e4c574143ea708951e19ed6a58f7792",
        ),
        num_recordings={"train": 31_158, "valid": 3_643, "test": 4_107},
    ),
    "youtubemix": NamedDataset(
        about="4 hours of piano in 241 pieces of a minute",
        source=f"{_HUGGING_FACE}/youtubemix",
        licence="for research, to be accepted on its page",
        settings=dataclasses.replace(_GIVEN, clip_s=61.0),
        find=_in_natural_order,
        num_recordings={"train": 212, "valid": 14, "test": 15},
    ),
    "beethoven": NamedDataset(
        about="Beethoven's piano sonatas, 9.6 hours in 4,328 pieces of 8 s",
        source=f"{_HUGGING_FACE}/beethoven",
        licence="to be accepted on its page",
        settings=_GIVEN,
        find=_in_natural_order,
        num_recordings={"train": 3808, "valid": 260, "test": 260},
    ),
    "ljspeech": NamedDataset(
        about="a woman reading, 24 hours in 13,100 sentences at 22.05 kHz",
        source="https://keithito.com/LJ-Speech-Dataset",
        licence="public domain",
        settings=BuildSettings(
            sample_rate_hz=22_050, clip_s=11.0, split_by="recording", held_out=0.05
        ),
        find=_any_audio,
        fetch=partial(
            _fetch_archive,
            "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
            2_748_572_632,
            "be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
        ),
    ),
}
