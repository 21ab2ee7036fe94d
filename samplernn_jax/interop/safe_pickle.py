"""Reads pickled numpy arrays without running anything that the pickle names.

A pickle is a program that calls whatever it names. This reader knows the handful of names with
which numpy spells an array, answers them with its own small recorders instead of numpy's
functions, and refuses every other name.
"""

import pickle
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np


class _Dtype:
    """Stands for `numpy.dtype`: remembers a plain number type such as f4."""

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch("[fiub][1248]", code):
            raise pickle.UnpicklingError(f"an array has the type {code!r}, which is no number")
        self._code, self._byteorder = code, "|"

    def __setstate__(self, state: tuple) -> None:
        self._byteorder = state[1]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self._byteorder + self._code)


class _Array:
    """Stands for an array until its content has been read."""

    array: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, content = state
        if isinstance(content, str):  # bytes from Python 2
            content = content.encode("latin1")
        order: Literal["C", "F"] = "F" if is_fortran else "C"
        self.array = np.frombuffer(content, dtype.dtype).reshape(shape, order=order)


def _from_buffer(content: bytes | bytearray, dtype: _Dtype, shape: tuple, order: str) -> _Array:
    """Stands for `_frombuffer`, an array in one call (pickle protocol 5)."""
    made = _Array()
    made.__setstate__((1, shape, dtype, order == "F", content))
    return made


class _NdarrayName:
    """Stands for `numpy.ndarray`, which pickles pass on without calling it."""


def _reconstruct(subtype: type, *_: Any) -> _Array:
    if subtype is not _NdarrayName:
        raise pickle.UnpicklingError(f"an array is of the class {subtype!r}")
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, with which Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are encoded as {encoding!r}")
    return text.encode(encoding)


def _empty_bytes() -> bytes:
    """Stands for `bytes`, as which Python 3 writes no bytes at all for Python 2."""
    return b""


_KNOWN = {
    "numpy.ndarray": _NdarrayName,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    # numpy 2 renamed numpy.core to numpy._core.
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return _KNOWN[f"{module}.{name}"]


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Loads a pickled dict of arrays, written by Python 2 or 3.

    Raises:
        ValueError: the file is no such pickle, or names anything but arrays.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        try:
            content = _Reader(stream, encoding="latin1").load()
            return {_name(name): value.array for name, value in content.items()}
        except OSError:
            raise
        except Exception as error:  # a damaged pickle can raise anything
            raise ValueError(f"{path}: is no pickled dict of arrays ({error})") from error


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"the name {value!r} of an array is no text")
    return value
