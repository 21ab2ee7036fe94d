"""Downloads of named datasets, checked against sizes and checksums."""

import urllib.parse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from samplernn_jax.checks import require
from samplernn_jax.preparation.named.archives import extract
from samplernn_jax.preparation.named.download import download
from samplernn_jax.preparation.staging import OnProgress
from samplernn_jax.storage import read_json

_ARCHIVE_ORG = "https://archive.org"


def fetch_archive(url: str, size: int, sha256: str, folder: Path, on_progress: OnProgress) -> None:
    """Downloads an archive and unpacks it, unless the folder exists.

    Args:
        url: the address of the archive.
        size: the size in bytes.
        sha256: the SHA-256 of the archive.
        folder: the new folder, which appears when everything is unpacked.
        on_progress: called whenever a part of the work is done.

    Raises:
        ValueError: the archive cannot be downloaded, or is not the expected one.
    """
    if folder.exists():
        return
    archive = folder.with_name(Path(urllib.parse.urlsplit(url).path).name)
    download(
        url,
        archive,
        size,
        f"sha256:{sha256}",
        on_bytes=partial(_megabytes, on_progress, archive.name),
    )
    on_progress(f"unpacking {archive.name}", 0, 1)
    extract(archive, folder)
    on_progress(f"unpacking {archive.name}", 1, 1)
    archive.unlink()


class ListedFile(TypedDict):
    """A file in the listing of an item on archive.org."""

    name: str
    sha1: NotRequired[Annotated[str, Field(pattern=r"^[0-9a-fA-F]{40}$")]]
    size: NotRequired[Annotated[str, Field(pattern=r"^[0-9]{1,15}$")]]


class Listing(TypedDict):
    """The listing of an item on archive.org."""

    files: list[ListedFile]


def fetch_items(
    items: Sequence[str],
    wanted: Callable[[str], bool],
    folder: Path,
    on_progress: OnProgress,
    site: str = _ARCHIVE_ORG,
) -> None:
    """Downloads files of items on archive.org, each item into a numbered folder.

    Args:
        items: the identifiers of the items.
        wanted: returns whether to download a file, by its name.
        folder: the folder for the numbered folders.
        on_progress: called whenever a part of a file has arrived.
        site: the base address.

    Raises:
        ValueError: an item lists no wanted file, or a file cannot be downloaded.
    """
    for number, item in enumerate(items, start=1):
        into = folder / f"{number:02}_{item}"
        listing = into / "metadata.json"
        download(f"{site}/metadata/{item}", listing)
        try:
            files = read_json(listing, Listing)["files"]
            chosen = [file for file in files if wanted(file["name"])]
        except ValueError as error:
            listing.unlink()
            raise ValueError(f"{site}/metadata/{item}: lists no files ({error})") from error
        require(bool(chosen), f"{site}/details/{item}: has none of the expected files")
        for file in chosen:
            name = Path(file["name"]).name
            url = f"{site}/download/{item}/{urllib.parse.quote(file['name'])}"
            checksum = f"sha1:{file['sha1']}" if "sha1" in file else None
            size = int(file["size"]) if "size" in file else None
            download(
                url, into / name, size, checksum, on_bytes=partial(_megabytes, on_progress, name)
            )


def _megabytes(on_progress: OnProgress, name: str, done: int, total: int | None) -> None:
    on_progress(f"downloading {name} (MB)", done >> 20, (total or done) >> 20)
