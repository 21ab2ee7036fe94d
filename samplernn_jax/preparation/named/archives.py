"""Unpacking archives that are not trusted: nothing is written outside of the folder."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from samplernn_jax.storage import new_folder

_MAX_BYTES = 100 * 10**9
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError),
    RuntimeError,  # zipfile's word for a password or a method that it does not know
    *(FileExistsError, IsADirectoryError, NotADirectoryError),  # one name for file and folder
)


def extract(archive: Path, folder: Path, max_bytes: int = _MAX_BYTES) -> None:
    """Unpacks a .zip or .tar archive, compressed or not.

    Args:
        archive: the file.
        folder: appears when everything is unpacked.
        max_bytes: of all members together.

    Raises:
        ValueError: `folder` exists, or the archive is damaged, too large, or has a member that
            is no file or folder, or leads out of the folder.
    """
    with new_folder(folder) as partial:
        try:
            if tarfile.is_tarfile(archive):  # first: a tar with a .zip at its end passes for a zip
                _extract_tar(archive, partial, max_bytes)
            else:
                _extract_zip(archive, partial, max_bytes)
        except _DAMAGED as error:
            raise ValueError(f"{archive}: is damaged or no archive ({error})") from error


def _extract_zip(archive: Path, folder: Path, max_bytes: int) -> None:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        _refuse_bombs(archive, sum(member.file_size for member in members), max_bytes)
        for member in members:
            path = _inside(archive, folder, member.filename)
            file_type = member.external_attr >> 16 & 0o170000
            if file_type not in (0, 0o100000, 0o040000):
                raise ValueError(f"{archive}: {member.filename!r} is neither file nor folder")
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with file.open(member) as source, path.open("wb") as output:
                shutil.copyfileobj(source, output)


def _extract_tar(archive: Path, folder: Path, max_bytes: int) -> None:
    total = 0
    with tarfile.open(archive, "r|*") as file:  # a stream: compressed data is read only once
        for member in file:
            path = _inside(archive, folder, member.name)
            total += member.size
            _refuse_bombs(archive, total, max_bytes)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            source = file.extractfile(member) if member.isfile() else None
            if source is None:
                raise ValueError(f"{archive}: {member.name!r} is neither file nor folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as output:
                shutil.copyfileobj(source, output)


def _inside(archive: Path, folder: Path, name: str) -> Path:
    """Where a member goes; nothing that was unpacked is a link, so names tell all."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or any(":" in part for part in parts[:1]):
        raise ValueError(f"{archive}: {name!r} leads out of the folder")
    return folder.joinpath(*parts)


def _refuse_bombs(archive: Path, num_bytes: int, max_bytes: int) -> None:
    if num_bytes > max_bytes:
        raise ValueError(f"{archive}: holds {num_bytes} bytes, must be at most {max_bytes}")
