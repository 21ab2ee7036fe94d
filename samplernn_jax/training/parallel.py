"""Where the devices are: the only module that knows about meshes.

Rows of the batch are spread over all devices, everything else is on each of
them. A per-device step becomes one call on global arrays, by `jit(shard_map)` or by `pmap`.
"""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from samplernn_jax.training.step import AXIS

T = TypeVar("T")

Step = Callable[[Any, Any, Any], tuple[Any, Any]]
"""(same on all devices, rows, rows) -> (same on all devices, rows)."""


def give_cpu_devices_threads() -> None:
    """Lets one CPU stand for several devices, as in tests; call it before jax is first used.

    XLA's thread pool has a thread per core. Where there are more devices than that, collectives
    that wait for each other fill it up and never end. The variable NPROC sets the pool's size.
    """
    forced = re.search(r"device_count=(\d+)", os.environ.get("XLA_FLAGS", ""))
    num_devices = int(forced[1]) if forced else jax.config.values["jax_num_cpu_devices"]
    if num_devices > 1:
        os.environ.setdefault("NPROC", str(8 * num_devices))


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis over the given devices, by default all."""
    return Mesh(np.array(jax.devices() if devices is None else devices), (AXIS,))


def check_batch_size(mesh: Mesh, batch_size: int, microbatches: int = 1) -> None:
    """Raises ValueError where the rows cannot be spread evenly."""
    if batch_size % (mesh.size * microbatches):
        parts = f" times microbatches={microbatches}" if microbatches > 1 else ""
        raise ValueError(
            f"batch_size={batch_size}: must be divisible by the number of devices, "
            f"{mesh.size}{parts}"
        )


def replicate(mesh: Mesh, tree: T) -> T:
    """Puts arrays on every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_rows(mesh: Mesh, tree: T) -> T:
    """Spreads the leading axis of arrays over the devices."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))


def local_copy(tree: T) -> T:
    """This process's first copy of arrays that `replicate` spread, without moving them."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def map_step(step: Step, mesh: Mesh, kind: str, donate: tuple[int, ...]) -> Step:
    """Maps a per-device step over a mesh and compiles it.

    Args:
        step: runs under the axis `AXIS` and sees one device's rows.
        mesh: see `make_mesh`.
        kind: "shard_map" or "pmap"; both compute the same.
        donate: positions of arguments whose buffers the result may take over.

    Returns:
        The same function of global arrays.
    """
    if kind == "pmap":
        return _pmap_step(step, mesh, donate)
    same, rows = PartitionSpec(), PartitionSpec(AXIS)
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(same, rows, rows), out_specs=(same, rows))
    return jax.jit(mapped, donate_argnums=donate)


def _pmap_step(step: Step, mesh: Mesh, donate: tuple[int, ...]) -> Step:
    devices = list(mesh.devices.flat)
    mapped = jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0, 0),
        out_axes=(None, 0),
        devices=devices,
        donate_argnums=donate,
    )

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(len(devices), x.shape[0] // len(devices), *x.shape[1:])

    def join(x: jax.Array) -> jax.Array:
        return x.reshape(-1, *x.shape[2:])

    def run(shared: Any, carry: Any, rows: Any) -> tuple[Any, Any]:
        shared, carry = mapped(shared, jax.tree.map(split, carry), jax.tree.map(split, rows))
        return shared, shard_rows(mesh, jax.tree.map(join, carry))

    return run
