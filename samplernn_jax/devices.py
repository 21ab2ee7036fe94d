"""The devices; this is the only module that knows about meshes.

The rows of a batch are spread over all devices of all processes; everything else is replicated on
each of them. `jit(shard_map)` or `pmap` turns a per-device step into one call on global arrays.
"""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from samplernn_jax import hardware

AXIS = "data"

T = TypeVar("T")


@runtime_checkable
class Step(Protocol):
    """A mapped step: (same on all devices, rows, rows) -> (same on all devices, rows)."""

    def __call__(self, shared: Any, carry: Any, rows: Any, /) -> tuple[Any, Any]:
        """Runs the step on global arrays."""
        ...

    def lower(self, shared: Any, carry: Any, rows: Any, /) -> Any:
        """Lowers the step for shapes of global arrays, ready to be compiled."""
        ...


def give_cpu_devices_threads() -> None:
    """Lets one CPU act as several devices, as in tests; call it before jax is first used.

    XLA's thread pool has a thread per core. Where there are more devices than that, collectives
    that wait for each other fill it up and never end. The variable NPROC sets the pool's size.
    """
    forced = re.search(r"device_count=(\d+)", os.environ.get("XLA_FLAGS", ""))
    num_devices = int(forced[1]) if forced else jax.config.values["jax_num_cpu_devices"]
    if num_devices > 1:
        os.environ.setdefault("NPROC", str(8 * num_devices))


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh with one axis over the given devices, by default all, process by process."""
    devices = jax.devices() if devices is None else devices
    in_order = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(in_order), (AXIS,))


def mesh_of_rows(num_rows: int, devices: Sequence[jax.Device]) -> Mesh:
    """Returns a mesh of the fewest devices that hold no more rows each than all devices would."""
    per_device = -(-num_rows // len(devices))
    return make_mesh(devices[: -(-num_rows // per_device)])


def memory_of_device(mesh: Mesh) -> int | None:
    """Returns the bytes of a device; CPU devices share the memory that this process may use."""
    devices = mesh.local_mesh.devices.flat
    if devices[0].platform == "cpu":
        of_all = hardware.memory_bytes()
        return None if of_all is None else of_all // len(devices)
    stats: dict[str, Any] = devices[0].memory_stats() or {}
    return stats.get("bytes_limit")


def rows_of_process(mesh: Mesh, batch_size: int) -> range:
    """Returns the rows of a batch that are on this process's devices."""
    per_device = batch_size // mesh.size
    mine = [i for i, d in enumerate(mesh.devices.flat) if d.process_index == jax.process_index()]
    return range(mine[0] * per_device, (mine[-1] + 1) * per_device)


def check_batch_size(mesh: Mesh, batch_size: int, microbatches: int = 1) -> None:
    """Raises ValueError where the rows cannot be spread evenly."""
    if batch_size % (mesh.size * microbatches):
        parts = f" times microbatches={microbatches}" if microbatches > 1 else ""
        raise ValueError(
            f"batch_size={batch_size}: must be divisible by the number of devices, "
            f"{mesh.size}{parts}"
        )


def replicate(mesh: Mesh, tree: T) -> T:
    """Returns arrays that are replicated on every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def pad_rows(mesh: Mesh, tree: T) -> T:
    """Repeats the last row until every device has equally many."""

    def pad(x: Any) -> Any:
        num_rows = -(-len(x) // mesh.size) * mesh.size
        return x[np.minimum(np.arange(num_rows), len(x) - 1)]

    return jax.tree.map(pad, tree)


def shard_rows(mesh: Mesh, tree: T) -> T:
    """Returns arrays whose leading axis, this process's rows, is spread over the devices."""
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))

    def put(x: Any) -> jax.Array:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            data, impl = jax.random.key_data(x), jax.random.key_impl(x)
            return jax.random.wrap_key_data(put(data), impl=impl)
        return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    return jax.tree.map(put, tree)


def local_copy(tree: T) -> T:
    """Returns this process's first copy of replicated arrays, without moving them."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def row_shapes(mesh: Mesh, tree: T) -> T:
    """Returns the shapes of the whole batch, spread over the devices as by `shard_rows`."""
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def replicated_shapes(mesh: Mesh, tree: T) -> T:
    """Returns the shapes of replicated arrays."""
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def map_step(step: Callable[..., Any], mesh: Mesh, kind: str, donate: tuple[int, ...]) -> Step:
    """Maps a per-device step over a mesh and compiles it.

    Args:
        step: the per-device step, which runs under the axis `AXIS` and sees one device's rows.
        mesh: see `make_mesh`.
        kind: "shard_map" or "pmap"; both compute the same.
        donate: the positions of the arguments whose buffers the result may take over.

    Returns:
        The same function of global arrays.
    """
    if kind == "pmap":
        return _PmapStep(step, mesh, donate)
    same, rows = PartitionSpec(), PartitionSpec(AXIS)
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(same, rows, rows), out_specs=(same, rows))
    return jax.jit(mapped, donate_argnums=donate)


class _PmapStep:
    """A step under pmap, where the devices of this process are a leading axis."""

    def __init__(self, step: Callable[..., Any], mesh: Mesh, donate: tuple[int, ...]) -> None:
        self._mesh = mesh
        self._num_local = mesh.local_mesh.size
        self._mapped = jax.pmap(
            step,
            axis_name=AXIS,
            in_axes=(None, 0, 0),
            out_axes=(None, 0),
            devices=list(mesh.devices.flat),
            donate_argnums=donate,
        )

    def __call__(self, shared: Any, carry: Any, rows: Any) -> tuple[Any, Any]:
        """Runs the step on global arrays."""
        same, split = PartitionSpec(), PartitionSpec(AXIS)
        shared = multihost_utils.global_array_to_host_local_array(shared, self._mesh, same)
        carry, rows = multihost_utils.global_array_to_host_local_array(
            (carry, rows), self._mesh, split
        )
        shared, carry = self._mapped(shared, *jax.tree.map(self._split, (carry, rows)))
        carry = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), carry)
        return (
            multihost_utils.host_local_array_to_global_array(shared, self._mesh, same),
            multihost_utils.host_local_array_to_global_array(carry, self._mesh, split),
        )

    def lower(self, shared: Any, carry: Any, rows: Any) -> Any:
        """Lowers the step for shapes of global arrays, ready to be compiled."""
        # With several processes pmap lowers for arrays only, not for shapes.
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shared)
        return self._mapped.lower(zeros, *jax.tree.map(self._local_zeros, (carry, rows)))

    def _split(self, x: jax.Array) -> jax.Array:
        return x.reshape(self._num_local, x.shape[0] // self._num_local, *x.shape[1:])

    def _local_zeros(self, x: Any) -> np.ndarray:
        return np.zeros((self._num_local, x.shape[0] // self._mesh.size, *x.shape[1:]), x.dtype)
