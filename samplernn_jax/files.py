"""Files: written so that nothing is ever left half-written, and told from damaged ones."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a temporary file beside `path` that becomes `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_folder(name: str, folder: Path) -> None:
    """Looks whether there is a folder, or can be one, without making it.

    Args:
        name: what the user calls it, for the message.
        folder: the folder.

    Raises:
        ValueError: a file or a broken link is there, or where a folder above it must be.
    """
    for path in (folder, *folder.parents):
        if path.is_dir():
            return
        if path.is_symlink() or path.exists():
            what = "a file" if path.exists() else "a link to nothing"
            raise ValueError(
                f"{name}={folder}: must be a folder or a new one, but {path} is {what}"
            )


def make_folder(name: str, folder: Path) -> None:
    """Makes a folder if it is not there, before long work whose results go into it.

    Args:
        name: what the user calls it, for the message.
        folder: the folder.

    Raises:
        ValueError: no file can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"{name}={folder}: must be a folder that can be written ({error.strerror})"
        ) from error


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that becomes `path` if the block succeeds.

    Raises:
        ValueError: `path` exists.
    """
    if path.exists():
        raise ValueError(f"{path}: exists already; remove it or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def checksum(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON."""
    with replace_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
