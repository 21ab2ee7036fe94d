"""Snapshots: all that the future of a stream depends on, and their files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired, Required

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int, Int32
from pydantic import Field, PlainValidator
from typing_extensions import TypedDict

from samplernn_jax.checks import require
from samplernn_jax.models.types import Conditions
from samplernn_jax.parsing import ArrayOf, parse_json, text_array, typed
from samplernn_jax.sampling.engines.interface import DecodeState
from samplernn_jax.sampling.schedules import Points
from samplernn_jax.sampling.strategies import Strategy
from samplernn_jax.storage import read_arrays, replace_file

LONGEST_BLOCK = 2**22
"""The largest number of samples in a block, as a block is in memory."""

_FORMAT_VERSION = 2


class Snapshot(NamedTuple):
    """All that the future of a stream depends on, beside the model, as numpy arrays.

    Attributes:
        fingerprint: the fingerprint of the model.
        block_len: the number of samples in the stream's blocks.
        numbers: the numbers of the sequences; with the key they determine the noise.
        state: the state after the last block that was decoded.
        settings: the `Points` of each setting of the strategy; None for one that is not used.
        conditions: the conditioning of each sequence; the file holds none, as no model reads any.
        tokens: int32 [num_sequences, ...], the tokens that were decoded and not yet taken.
        bits: float32, the bits of these tokens.
        options: the options of the job that began the stream, as JSON; {} where none did.
    """

    fingerprint: str
    block_len: int
    numbers: Int[np.ndarray, " num_sequences"]
    state: DecodeState
    settings: Strategy
    conditions: Conditions
    tokens: Int32[np.ndarray, "num_sequences time"]
    bits: Float32[np.ndarray, "num_sequences time"]
    options: dict[str, Any]


def save_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Writes a snapshot to an .npz file."""
    state = snapshot.state
    arrays: dict[str, Any] = {
        "version": _FORMAT_VERSION,
        "fingerprint": snapshot.fingerprint,
        "block_len": snapshot.block_len,
        "numbers": snapshot.numbers,
        "window": state.window,
        "position": state.position,
        "keys": jax.random.key_data(state.keys),
        "key_impl": str(jax.random.key_impl(state.keys)),
        "tokens": snapshot.tokens,
        "bits": snapshot.bits,
        "options": json.dumps(snapshot.options),
        **{f"carry/{name}": array for name, array in _named(state.carry).items()},
    }
    for name, points in snapshot.settings._asdict().items():
        if points is not None:
            arrays |= {f"{name}/times_s": points.times_s, f"{name}/values": points.values}
    with replace_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def load_snapshot(path: Path, fingerprint: str, like: DecodeState, q_levels: int) -> Snapshot:
    """Returns the snapshot that `save_snapshot` wrote.

    Args:
        path: the file.
        fingerprint: the fingerprint of the model to which the snapshot must belong.
        like: the shapes and types of the model's state, for any number of sequences.
        q_levels: the model's number of quantization levels.

    Raises:
        ValueError: the file is not a snapshot, belongs to another model, or is damaged.
    """
    arrays = read_arrays(path, "a saved state")
    where = f"{path}: is not a saved state, or damaged"
    identity = typed(_Identity, arrays, where, separator=": ")
    version = int(identity["version"])
    require(version == _FORMAT_VERSION, f"{path}: has version {version}, not {_FORMAT_VERSION}")
    require(
        identity["fingerprint"] == fingerprint,
        f"{path}: is the state of another model or checkpoint",
    )
    num_sequences = arrays["numbers"].size if "numbers" in arrays else 0
    kind = _description(like, q_levels, num_sequences)
    arrays = typed(kind, arrays, where, separator=": ")
    carry = [jnp.asarray(arrays[f"carry/{name}"]) for name in _named(like.carry)]
    state = DecodeState(
        jnp.asarray(arrays["window"]),
        jax.tree.unflatten(jax.tree.structure(like.carry), carry),
        _keys(where, arrays),
        jnp.asarray(arrays["position"]),
    )
    settings = Strategy(*(_points(where, arrays, name) for name in Strategy._fields))
    tokens, bits = arrays["tokens"], arrays["bits"]
    require(
        tokens.shape == bits.shape,
        f"{where}: bits={list(bits.shape)}: must be as many as tokens, {list(tokens.shape)}",
    )
    block_len, numbers = int(arrays["block_len"]), arrays["numbers"]
    options = parse_json(arrays.get("options", "{}"), dict[str, Any], f"{where}: options")
    return Snapshot(fingerprint, block_len, numbers, state, settings, (), tokens, bits, options)


_Text = Annotated[str, PlainValidator(text_array)]


class _Identity(TypedDict):
    """The arrays that say to which model a snapshot belongs."""

    version: Annotated[Any, ArrayOf(np.int64)]
    fingerprint: _Text


def _description(like: DecodeState, q_levels: int, num_sequences: int) -> Any:
    """Returns the types of a snapshot's arrays."""

    def array(
        dtype: Any, *shape: int | None, low: float = -math.inf, high: float = math.inf
    ) -> Any:
        return Annotated[Any, ArrayOf(dtype, (num_sequences, *shape), low, high)]

    fields: dict[str, Any] = {
        "block_len": Annotated[Any, ArrayOf(np.int64, (), 1, LONGEST_BLOCK)],
        "numbers": Annotated[array(np.int64, low=0.0, high=2.0**32 - 1), Field(min_length=1)],
        "window": array(np.int32, *like.window.shape[1:], low=0.0, high=q_levels - 1.0),
        "position": array(np.uint32, 2),
        "keys": array(np.uint32, None),
        "key_impl": _Text,
        "tokens": array(np.int32, None, low=0.0, high=q_levels - 1.0),
        "bits": array(np.float32, None),
        "options": NotRequired[_Text],  # older files have none
    }
    for name, x in _named(like.carry).items():
        fields[f"carry/{name}"] = array(x.dtype, *x.shape[1:])
    for name, highest in zip(Strategy._fields, (math.inf, math.inf, 1.0), strict=True):
        is_needed = Required if name == "temperature" else NotRequired
        fields[f"{name}/times_s"] = is_needed[array(np.float32, None, low=0.0)]
        fields[f"{name}/values"] = is_needed[array(np.float32, None, low=0.0, high=highest)]
    make: Any = TypedDict
    return make("_State", fields)


def _named(carry: Any) -> dict[str, Any]:
    """Returns the arrays of a carry by their paths in it."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): array
        for path, array in jax.tree.leaves_with_path(carry)
    }


def _keys(where: str, arrays: Mapping[str, Any]) -> jax.Array:
    impl = arrays["key_impl"]
    try:
        return jax.random.wrap_key_data(jnp.asarray(arrays["keys"]), impl=impl)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{where}: key_impl={impl!r}: is not a kind of PRNG key") from error


def _points(where: str, arrays: Mapping[str, Any], name: str) -> Points | None:
    """Returns the points of a setting; None if it is not used."""
    times_s, values = arrays.get(f"{name}/times_s"), arrays.get(f"{name}/values")
    if times_s is None and values is None:
        return None
    if times_s is None or values is None or times_s.shape != values.shape:
        raise ValueError(f"{where}: {name}/times_s: must be as many as {name}/values")
    return Points(times_s, values)
