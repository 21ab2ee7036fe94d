"""Unpacking untrusted archives, with nothing written outside the folder."""

import lzma
import platform
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from samplernn_jax.checks import require
from samplernn_jax.storage import new_folder

_MAX_BYTES = 100 * 10**9
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError),
    RuntimeError,  # zipfile's word for a password or an unknown method
    *(FileExistsError, IsADirectoryError, NotADirectoryError),  # one name for file and folder
)


def extract(archive: Path, folder: Path, max_bytes: int = _MAX_BYTES) -> None:
    """Unpacks a .zip or .tar archive, compressed or not.

    Args:
        archive: the file.
        folder: the new folder, which appears when everything is unpacked.
        max_bytes: the largest allowed size of all members together.

    Raises:
        ValueError: `folder` exists, or the archive is damaged or too large, or a member is neither
            file nor folder, or leads out of the folder.
    """
    with new_folder(folder) as partial:
        try:
            if tarfile.is_tarfile(archive):  # first: a tar with a .zip at its end passes for a zip
                _extract_tar(archive, partial, max_bytes)
            else:
                _extract_zip(archive, partial, max_bytes)
        except _DAMAGED as error:
            raise ValueError(f"{archive}: is damaged or not an archive ({error})") from error


def _extract_zip(archive: Path, folder: Path, max_bytes: int) -> None:
    """Unpacks a .zip archive; members that lead out of the folder are refused, not renamed."""
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        _check_size(archive, sum(member.file_size for member in members), max_bytes)
        for member in members:
            _check_name(archive, member.filename)
            file_type = member.external_attr >> 16 & 0o170000
            _check_kind(archive, member.filename, file_type in (0, 0o100000, 0o040000))
            path = folder.joinpath(*_parts(member.filename))
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with file.open(member) as source, path.open("wb") as output:
                shutil.copyfileobj(source, output)


def _extract_tar(archive: Path, folder: Path, max_bytes: int) -> None:
    """Unpacks through tarfile's data filter, which checks paths and permissions.

    The filter would rename absolute names and keep links inside the folder; they are refused.
    """
    require(
        hasattr(tarfile, "data_filter"),
        f"{archive}: Python {platform.python_version()} cannot unpack it safely; use 3.11.4 or "
        "later",
    )
    total = 0
    with tarfile.open(archive, "r|*") as file:  # a stream: compressed data is read only once
        for member in file:
            _check_name(archive, member.name)
            _check_kind(archive, member.name, member.isfile() or member.isdir())
            total += member.size
            _check_size(archive, total, max_bytes)
            file.extract(member, folder, filter="data")


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _check_name(archive: Path, name: str) -> None:
    parts = _parts(name)
    leads_out = ".." in parts or name.startswith(("/", "\\")) or any(":" in x for x in parts[:1])
    require(not leads_out, f"{archive}: {name!r} leads out of the folder")


def _check_kind(archive: Path, name: str, is_file_or_folder: bool) -> None:
    require(is_file_or_folder, f"{archive}: {name!r} is neither file nor folder")


def _check_size(archive: Path, num_bytes: int, max_bytes: int) -> None:
    """Refuses archives that would fill the disk."""
    require(
        num_bytes <= max_bytes,
        f"{archive}: holds {num_bytes} bytes, but at most {max_bytes} are allowed",
    )
