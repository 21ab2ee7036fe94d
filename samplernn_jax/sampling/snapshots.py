"""What the future of a stream depends on, and the file that keeps it."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int, Int32

from samplernn_jax.fields import require
from samplernn_jax.files import replace_file
from samplernn_jax.sampling.decode import DecodeState
from samplernn_jax.sampling.schedules import Points
from samplernn_jax.sampling.strategies import Strategy

LONGEST_BLOCK = 2**22
"""Samples; a block is in memory."""

_FORMAT_VERSION = 2

_NOTHING = np.empty(0)


class Snapshot(NamedTuple):
    """What the future of a stream depends on, beside the model; numpy arrays.

    Attributes:
        numbers: of the sequences; with the key they determine the noise.
        state: after the last block that was decoded.
        settings: the `Points` of each setting of the strategy; None for one that is not used.
        tokens: int32 [num_sequences, ...] that were decoded and not yet taken.
        bits: float32, theirs.
    """

    numbers: Int[np.ndarray, " num_sequences"]
    state: DecodeState
    settings: Strategy
    tokens: Int32[np.ndarray, "num_sequences time"]
    bits: Float32[np.ndarray, "num_sequences time"]


def save_snapshot(path: Path, snapshot: Snapshot, block_len: int, fingerprint: str) -> None:
    """Writes an .npz file.

    Args:
        path: the file.
        snapshot: what it keeps.
        block_len: samples of the stream's blocks.
        fingerprint: of the model.
    """
    state = snapshot.state
    arrays: dict[str, Any] = {
        "version": _FORMAT_VERSION,
        "fingerprint": fingerprint,
        "block_len": block_len,
        "numbers": snapshot.numbers,
        "window": state.window,
        "position": state.position,
        "keys": jax.random.key_data(state.keys),
        "key_impl": str(jax.random.key_impl(state.keys)),
        "tokens": snapshot.tokens,
        "bits": snapshot.bits,
        **{f"carry/{name}": array for name, array in _named(state.carry).items()},
    }
    for name, points in snapshot.settings._asdict().items():
        if points is not None:
            arrays |= {f"{name}/times_s": points.times_s, f"{name}/values": points.values}
    with replace_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def load_snapshot(
    path: Path, fingerprint: str, like: DecodeState, q_levels: int
) -> tuple[Snapshot, int]:
    """What `save_snapshot` wrote, and the block length.

    Args:
        path: the file.
        fingerprint: of the model that it must be of.
        like: the shapes and types of that model's state, for any number of sequences.
        q_levels: of that model.

    Raises:
        ValueError: it is no such file or of another model, or an array is not what it must be.
    """
    file = _File(path)
    version = int(file.array("version", np.int64))
    require(version == _FORMAT_VERSION, f"{path}: has version {version}, must be {_FORMAT_VERSION}")
    require(
        file.text("fingerprint") == fingerprint,
        f"{path}: is the state of another model or checkpoint",
    )
    block_len = int(file.within("block_len", np.int64, (), 1, LONGEST_BLOCK))
    (count,) = file.array("numbers", np.int64, None).shape
    require(count > 0, file.damage("numbers: must not be empty"))
    state = DecodeState(
        jnp.asarray(
            file.within("window", np.int32, (count, *like.window.shape[1:]), 0, q_levels - 1)
        ),
        _carry(file, like, count),
        _keys(file, count),
        jnp.asarray(file.array("position", np.uint32, count, 2)),
    )
    settings = {name: _points(file, name, count) for name in Strategy._fields}
    require(settings["temperature"] is not None, file.damage("temperature/values: is missing"))
    tokens = file.within("tokens", np.int32, (count, None), 0, q_levels - 1)
    snapshot = Snapshot(
        file.within("numbers", np.int64, (count,), 0, np.iinfo(np.uint32).max),
        state,
        Strategy(**settings),
        tokens,
        file.array("bits", np.float32, *tokens.shape),
    )
    return snapshot, block_len


class _File:
    """The arrays of a file, checked as they are taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                self._arrays = dict(file)
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
        except Exception as error:  # whatever the readers of zip files and arrays stumble over
            raise ValueError(f"{path}: is not a saved state, or damaged") from error

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def text(self, name: str) -> str:
        """A text."""
        array = self._arrays.get(name, _NOTHING)
        self._require(array.shape == () and array.dtype.kind == "U", name, "must be a text")
        return str(array)

    def array(self, name: str, dtype: Any, *shape: int | None) -> np.ndarray:
        """An array of a type and a shape, in which None stands for any size."""
        array = self._arrays.get(name, _NOTHING)
        holds = (
            array.dtype == dtype
            and array.ndim == len(shape)
            and all(size in (None, found) for size, found in zip(shape, array.shape, strict=True))
        )
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        self._require(holds, name, f"must be {np.dtype(dtype)} [{sizes}]")
        return array

    def within(
        self,
        name: str,
        dtype: Any,
        shape: tuple[int | None, ...],
        low: float | int,
        high: float | int,
    ) -> np.ndarray:
        """The same of numbers from `low` to `high`, all finite."""
        array = self.array(name, dtype, *shape)
        holds = bool(np.isfinite(array).all() and ((low <= array) & (array <= high)).all())
        require(holds, self.damage(f"{name}: must be finite numbers from {low:g} to {high:g}"))
        return array

    def _require(self, condition: bool, name: str, rule: str) -> None:
        array = self._arrays.get(name)
        found = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
        require(condition, self.damage(f"{name}={found}: {rule}"))

    def damage(self, why: str) -> str:
        """A message."""
        return f"{self._path}: is not a saved state, or damaged ({why})"


def _named(carry: Any) -> dict[str, Any]:
    """The arrays of a carry, or of WaveNet's caches, by their names."""
    return carry if isinstance(carry, dict) else {str(n): x for n, x in enumerate(carry)}


def _carry(file: _File, like: DecodeState, count: int) -> Any:
    loaded = {
        name: jnp.asarray(
            file.within(f"carry/{name}", x.dtype, (count, *x.shape[1:]), -math.inf, math.inf)
        )
        for name, x in _named(like.carry).items()
    }
    return loaded if isinstance(like.carry, dict) else tuple(loaded.values())


def _keys(file: _File, count: int) -> jax.Array:
    data, impl = file.array("keys", np.uint32, count, None), file.text("key_impl")
    try:
        return jax.random.wrap_key_data(jnp.asarray(data), impl=impl)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(file.damage(f"key_impl={impl!r}: has no such keys")) from error


def _points(file: _File, name: str, count: int) -> Points | None:
    """Of a setting that is used."""
    if f"{name}/values" not in file:
        return None
    highest = 1.0 if name == "top_p" else math.inf
    values = file.within(f"{name}/values", np.float32, (count, None), 0, highest)
    return Points(file.within(f"{name}/times_s", np.float32, values.shape, 0, math.inf), values)
