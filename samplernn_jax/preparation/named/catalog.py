"""Named datasets: their sources, owners and usual splits.

Where the field has fixed splits, the number of recordings in each is checked, so that bits can be
compared. The splits are those of

- the original (datasets/dataset.py and datasets/music of its repository) for music, and the paper
  (section 3) for blizzard and onom;
- SaShiMi (Goel et al. 2022, arXiv:2202.09729; src/dataloaders/audio.py of its repository) for
  sc09, youtubemix and beethoven: lists for the first, and natural order for the others, with the
  first 88 % for training and those up to 94 % for validation.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from samplernn_jax.checks import require
from samplernn_jax.data.dataset import SPLITS
from samplernn_jax.preparation.named import finding
from samplernn_jax.preparation.named.fetching import fetch_archive, fetch_items
from samplernn_jax.preparation.recordings import Found
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.staging import OnProgress

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


@dataclasses.dataclass(frozen=True)
class NamedDataset:
    """A dataset of the field.

    Attributes:
        about: its content.
        source: the place to get it from.
        licence: the terms of its owners.
        settings: the settings with which it is prepared.
        find: returns the recordings in a folder of the dataset, see `finding`.
        fetch: downloads the dataset into a folder; None if its owners have to be asked.
        num_recordings: the number of recordings in each split of the complete dataset; None if
            unknown.
    """

    about: str
    source: str
    licence: str
    settings: BuildSettings
    find: Callable[[Path, Path, OnProgress], Found]
    fetch: Callable[[Path, OnProgress], None] | None = None
    num_recordings: Mapping[str, int] | None = None


def obtain(name: str, folder: Path | None, cache: Path, on_progress: OnProgress) -> Found:
    """Returns the recordings of a named dataset, each with its split if there is a usual one.

    Args:
        name: a key of `DATASETS`.
        folder: the folder of the dataset; None to download it.
        cache: the folder for downloads and intermediate files.
        on_progress: called whenever a part of the work is done.

    Raises:
        ValueError: the dataset cannot be downloaded, or is incomplete.
    """
    dataset, scratch = DATASETS[name], cache / name
    if folder is None:
        if dataset.fetch is None:
            raise ValueError(
                f"dataset={name}: cannot be downloaded ({dataset.licence}); get it from "
                f"{dataset.source} and give its folder with --input"
            )
        folder = scratch / "files"
        dataset.fetch(folder, on_progress)
    found = dataset.find(folder, scratch, on_progress)
    _check(name, folder, found)
    return found


def _check(name: str, folder: Path, found: Found) -> None:
    expected = DATASETS[name].num_recordings
    if expected is None:
        return
    counts = Counter(recording.split for recording in found.recordings)
    for split in SPLITS:
        require(
            counts[split] == expected[split],
            f"dataset={name}: {folder} has {counts[split]} recordings for {split}, but must have "
            f"{expected[split]}; some files are missing, or belong to another dataset",
        )


_GIVEN = BuildSettings(drop_silence=False, remove_dc=False, split_by="given")

DATASETS: dict[str, NamedDataset] = {
    "music": NamedDataset(
        about="Beethoven's 32 piano sonatas, 8.2 hours in 3,712 + 256 + 256 clips of 8 s",
        source=f"https://archive.org/details/{_SONATAS[0]} and 31 more items",
        licence="public domain, as its page says",
        settings=_GIVEN,
        find=finding.music,
        fetch=partial(fetch_items, _SONATAS, lambda name: name.lower().endswith(".ogg")),
        num_recordings={"train": 3712, "valid": 256, "test": 256},
    ),
    "huck": NamedDataset(
        about="two readings of Huckleberry Finn; which two the original used is not known",
        source="LibriVox, on archive.org: huck_finn_librivox and huckleberry_mfs_librivox",
        licence="public domain",
        settings=BuildSettings(split_by="recording", held_out=1 / 14),
        find=finding.any_audio,
        fetch=partial(
            fetch_items,
            ("huck_finn_librivox", "huckleberry_mfs_librivox"),
            lambda name: name.endswith(".mp3") and not name.endswith(("_64kb.mp3", "_vbr.mp3")),
        ),
    ),
    "blizzard": NamedDataset(
        about="one actress reading, 20.5 hours for training",
        source="the Blizzard Challenge 2013",
        licence="agreement to sign with its organisers",
        settings=BuildSettings(held_out=0.07),
        find=finding.any_audio,
    ),
    "onom": NamedDataset(
        about="human vocal noises; each recording is a clip",
        source="the paper's authors",
        licence="not published",
        settings=BuildSettings(
            clip_s=60.0, drop_silence=False, split_by="recording", held_out=0.04
        ),
        find=finding.any_audio,
    ),
    "sc09": NamedDataset(
        about="spoken digits zero to nine, 38,908 recordings of up to 1 s",
        source=f"{_HUGGING_FACE}/sc09, the digits of Speech Commands v0.02",
        licence="CC BY 4.0",
        settings=dataclasses.replace(_GIVEN, clip_s=1.0, min_clip_s=0.0),
        find=finding.sc09,
        fetch=partial(
            fetch_archive,
            f"{_HUGGING_FACE}/sc09/resolve/fe62f33d2af5db6f01e504ec1f360da7df9692e8/sc09.zip",
            893_855_183,
            "ca0cff7168708fe3e1d2d6fd8ac7b0c26e4c574143ea708951e19ed6a58f7792",
        ),
        num_recordings={"train": 31_158, "valid": 3_643, "test": 4_107},
    ),
    "youtubemix": NamedDataset(
        about="4 hours of piano in 241 pieces of a minute",
        source=f"{_HUGGING_FACE}/youtubemix",
        licence="for research; terms to accept on its page",
        settings=dataclasses.replace(_GIVEN, clip_s=61.0),
        find=finding.in_natural_order,
        num_recordings={"train": 212, "valid": 14, "test": 15},
    ),
    "beethoven": NamedDataset(
        about="Beethoven's piano sonatas, 9.6 hours in 4,328 pieces of 8 s",
        source=f"{_HUGGING_FACE}/beethoven",
        licence="terms to accept on its page",
        settings=_GIVEN,
        find=finding.in_natural_order,
        num_recordings={"train": 3808, "valid": 260, "test": 260},
    ),
    "ljspeech": NamedDataset(
        about="a woman reading, 24 hours in 13,100 sentences at 22.05 kHz",
        source="https://keithito.com/LJ-Speech-Dataset",
        licence="public domain",
        settings=BuildSettings(
            sample_rate_hz=22_050, clip_s=11.0, split_by="recording", held_out=0.05
        ),
        find=finding.any_audio,
        fetch=partial(
            fetch_archive,
            "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
            2_748_572_632,
            "be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
        ),
    ),
}
