"""Files and folders on this machine, never left half-written.

All access to the files of a workdir goes through these functions, except that orbax writes the
arrays of checkpoints, and TensorBoard its event files.
"""

import contextlib
import datetime
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from typing_extensions import TypedDict

from samplernn_jax.checks import require
from samplernn_jax.parsing import parse_json

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""The beginning of an address; drives of Windows have one letter. Path makes one slash of two."""


def check_local(name: str, path: str | Path) -> None:
    """Raises ValueError where a path is an address, which would become a folder of that name.

    Args:
        name: the user's name for the path, for the message.
        path: the path that the user gave.
    """
    require(
        not _SCHEME.match(str(path)),
        f"{name}={path}: must be a path on this machine; remote folders are not supported, so "
        "mount it and name the folder",
    )


def check_folder(name: str, folder: Path) -> None:
    """Raises ValueError unless there is a folder, or can be one; does not make it.

    Args:
        name: the user's name for the folder, for the message.
        folder: the folder.

    Raises:
        ValueError: the folder, or a folder above it, is a file or a broken link, or the path is an
            address.
    """
    check_local(name, folder)
    for path in (folder, *folder.parents):
        if path.is_dir():
            return
        if path.is_symlink() or path.exists():
            what = "a file" if path.exists() else "a broken link"
            raise ValueError(
                f"{name}={folder}: must be a folder, or not exist yet, but {path} is {what}"
            )


def exists(path: Path) -> bool:
    """Returns whether a file or a folder exists."""
    return path.exists()


def names(folder: Path) -> list[str]:
    """Returns the names in a folder, sorted; none if there is no folder."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def files_below(folder: Path) -> list[str]:
    """Returns the files in a folder and in those below it, as paths relative to it, sorted."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [str(file.relative_to(folder)) for file in files]


def read_text(path: Path) -> str:
    """Returns the text of a file; bytes that are not UTF-8 are replaced.

    Raises:
        OSError: the file cannot be read.
    """
    return path.read_text(encoding="utf-8", errors="replace")


def read_json(path: Path, kind: Any) -> Any:
    """Returns the value of a JSON file.

    Args:
        path: the file.
        kind: the type that the value must have, see `parsing.typed`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or a field breaks its rule.
    """
    return parse_json(path.read_bytes(), kind, str(path))


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Reads the arrays of an .npz file, for `typed`.

    Args:
        path: the file.
        what: a description of the file, for messages.

    Raises:
        ValueError: it cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return dict(file)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # readers of zip files and arrays can raise anything
        raise ValueError(f"{path}: is not {what}, or damaged") from error


def read_array(path: Path) -> np.ndarray:
    """Maps the array of an .npy file into memory.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or does not hold exactly one array of numbers.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # the reader can raise anything
        raise ValueError(f"{path}: cannot be read as an array ({error})") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(f"{path}: holds several arrays, must hold one")
    return array


def checksum(file: Path) -> str:
    """Returns the SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_intact(file: Path, expected: str) -> bool:
    """Returns whether a file exists and has the expected checksum."""
    return file.is_file() and checksum(file) == expected


def free_bytes(folder: Path) -> int:
    """Returns the free bytes on the disk of a folder."""
    return shutil.disk_usage(folder).free


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


def write_text(path: Path, text: str) -> None:
    """Replaces a file as a whole."""
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replaces a file by `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def append_text(path: Path, text: str) -> None:
    """Adds text to the end of a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def ensure_folder(folder: Path) -> None:
    """Makes a folder, and those above it, if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)


def make_folder(name: str, folder: Path) -> None:
    """Makes a folder if it is not there, before long work whose results go into it.

    Args:
        name: what the user calls it, for the message.
        folder: the folder.

    Raises:
        ValueError: no file can be written there.
    """
    check_local(name, folder)
    try:
        ensure_folder(folder)
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
    require(not path.exists(), f"{path}: exists already; remove it or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def move_folder(folder: Path, target: Path) -> None:
    """Moves a folder, on the same disk, to where there may be another, which it replaces."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    folder.rename(target)


def remove_folder(folder: Path) -> None:
    """Removes a folder and all that is in it."""
    shutil.rmtree(folder)


def remove_if_empty(folder: Path) -> None:
    """Removes a folder if nothing is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def held(folder: Path, what: str, token: str = "") -> Iterator[None]:
    """Keeps other processes out of a folder while the block runs, or until this process dies.

    The system frees the lock however the process ends, also on shared file systems that have locks.
    A file beside the lock describes the holder, see `holder_file`. A folder that is otherwise empty
    at the end loses the lock's file too.

    Args:
        folder: an existing folder.
        what: what the user calls it, for the message.
        token: goes into the holder's file, where other processes of the same run see it.

    Raises:
        ValueError: another process holds the folder; the message says which.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"{what}: is in use by {_holder(folder)}") from error
    try:
        since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        holder = Holder(host=socket.gethostname(), process=os.getpid(), since=since, token=token)
        write_json(holder_file(folder), holder)
        yield
    finally:
        holder_file(folder).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it is gone, or Windows removes no open file
            if [path.name for path in folder.iterdir()] == [".lock"]:
                (folder / ".lock").unlink()  # while it is held: no other process can have it
        lock.release()


def holder_file(folder: Path) -> Path:
    """Returns the file that describes the holder of a folder."""
    return folder / ".lock.json"


class Holder(TypedDict):
    """The process that holds a folder."""

    host: str
    process: int
    since: str
    token: str


def read_holder(folder: Path) -> Holder:
    """Returns the holder of a folder.

    Raises:
        OSError: the folder has none.
        ValueError: the holder's file is damaged.
    """
    holder: Holder = read_json(holder_file(folder), Holder)
    return holder


def _holder(folder: Path) -> str:
    try:
        holder = read_holder(folder)
    except (OSError, ValueError):  # it has only just begun
        return "another process"
    return f"process {holder['process']} on {holder['host']} since {holder['since']}"
