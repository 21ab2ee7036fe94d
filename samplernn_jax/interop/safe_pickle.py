"""Reads pickled numpy arrays without running anything that the pickle names.

A pickle is a program that may call any function by name. This reader knows only the names that
numpy uses for an array. `find_class` returns small stand-ins for them instead of numpy's functions,
and refuses every other name. The reader also knows only the instructions that a dict of arrays
needs: only stand-ins may get a state, and only text may be a key.

The public `pickle.Unpickler` would take all instructions. It has no hook for keys, so a key of
deeply nested tuples would overflow the stack when hashed, which ends the process. Hence the reader
in Python, `pickle._Unpickler`, whose table of instructions can be cut down.
"""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np


class _Dtype:
    """A stand-in for `numpy.dtype`, which remembers a plain number type such as f4."""

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch("[fiub][1248]", code):
            raise pickle.UnpicklingError(f"an array has the type {code!r}, which is not a number")
        self._code, self._byteorder = code, "|"

    def set_state(self, state: tuple) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"an array has the byte order {state[1]!r}")
        self._byteorder = state[1]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self._byteorder + self._code)


class _Array:
    """A stand-in for an array until its content has been read."""

    array: np.ndarray

    def set_state(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, content = state
        if isinstance(content, str):  # bytes from Python 2
            content = content.encode("latin1")
        if type(dtype) is not _Dtype or type(content) not in (bytes, bytearray):
            raise pickle.UnpicklingError("an array has no bytes or no number type")
        order: Literal["C", "F"] = "F" if is_fortran else "C"
        shape = tuple(int(size) for size in shape)
        self.array = np.frombuffer(content, dtype.dtype).reshape(shape, order=order)


_NDARRAY = object()  # stands for `numpy.ndarray`, which pickles never call


def _from_buffer(content: bytes | bytearray, dtype: _Dtype, shape: tuple, order: str) -> _Array:
    """Stands for `_frombuffer`, an array in one call (pickle protocol 5)."""
    made = _Array()
    made.set_state((1, shape, dtype, order == "F", content))
    return made


def _reconstruct(subtype: object, *_: Any) -> _Array:
    if subtype is not _NDARRAY:
        raise pickle.UnpicklingError("an array is not a plain numpy.ndarray")
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, which Python 3 uses to write bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are encoded as {encoding!r}")
    return text.encode(encoding)


def _empty_bytes() -> bytes:
    """Stands for `bytes`, which Python 3 uses to write empty bytes for Python 2."""
    return b""


_KNOWN = {
    "numpy.ndarray": _NDARRAY,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    # numpy 2 renamed numpy.core to numpy._core.
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
}

_NUMBERS = "INT BININT BININT1 BININT2 LONG LONG1 LONG4 NONE NEWTRUE NEWFALSE"
_TEXTS = "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
_BYTES = "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
_CONTAINERS = "MARK TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 DICT EMPTY_DICT SETITEM SETITEMS"
_MEMO = "PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET"
_OBJECTS = "PROTO FRAME GLOBAL STACK_GLOBAL REDUCE BUILD STOP"
_OPCODES = " ".join((_NUMBERS, _TEXTS, _BYTES, _CONTAINERS, _MEMO, _OBJECTS)).split()


class _Reader(pickle._Unpickler):
    stack: list  # these three are missing in the type stubs
    append: Callable[[Any], None]
    pop_mark: Callable[[], list]

    dispatch: ClassVar[dict[int, Any]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
        for name in _OPCODES
    }

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _KNOWN:
            raise pickle.UnpicklingError(
                f"it names {f'{module}.{name}'!r}, which is not part of an array"
            )
        return _KNOWN[f"{module}.{name}"]

    def load_build(self) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) not in (_Array, _Dtype):
            raise pickle.UnpicklingError("it sets the state of something that is not an array")
        self.stack[-1].set_state(state)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(_dict(items))

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self.stack[-1].update(_dict(items))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1].update(_dict([key, value]))

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


def _dict(items: list) -> dict[str, Any]:
    names, values = items[::2], items[1::2]
    if not all(type(name) is str for name in names):
        raise pickle.UnpicklingError("the name of an array is not text")
    return dict(zip(names, values, strict=True))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Loads a pickled dict of arrays, written by Python 2 or 3.

    Raises:
        ValueError: the file is not such a pickle, or names anything but arrays.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        try:
            content = _Reader(stream, encoding="latin1").load()
            if type(content) is not dict:
                raise pickle.UnpicklingError("it is not a dict")
            return {name: _array(name, value) for name, value in content.items()}
        except OSError:
            raise
        except EOFError as error:
            raise ValueError(f"{path}: is not a pickled dict of arrays (it ends early)") from error
        except Exception as error:  # a damaged pickle can raise anything
            reason = str(error) or type(error).__name__
            raise ValueError(f"{path}: is not a pickled dict of arrays ({reason})") from error


def _array(name: str, value: Any) -> np.ndarray:
    if type(value) is not _Array:
        raise pickle.UnpicklingError(f"{name!r} is not an array")
    return value.array
