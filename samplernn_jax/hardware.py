"""The memory and the speed of this machine."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

_MATMUL_SIZE = 2048
_ROUNDS = 5
_ROW = 1024
_MATRICES_READ = 128


def seconds_per_call(run: Callable[[Any], Any], value: Any, seconds: float) -> float:
    """Returns the seconds of a call of a function on its own result, over three calls or more.

    Args:
        run: the function; its first call is not counted.
        value: its first argument.
        seconds: the time for which to call it.
    """
    value = jax.block_until_ready(run(value))
    began, calls = time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - began < seconds:
        value = jax.block_until_ready(run(value))
        calls += 1
    return (time.perf_counter() - began) / calls


def matmul_flop_per_s(precision: str) -> float:
    """Returns one device's FLOP/s in products of large float32 matrices, the best of a few runs."""
    size = _MATMUL_SIZE
    matrix = jax.random.normal(jax.random.key(0), (size, size)) / math.sqrt(size)
    multiply = jax.jit(lambda x: jnp.dot(x, matrix, precision=precision))
    return 2 * size**3 / _best_of_a_few(multiply, matrix)


def bandwidth_bytes_per_s(num_bytes: int) -> float:
    """Returns one device's rate of reading the same bytes again and again, the best of a few runs.

    It reads them as sampling does: float32 matrices times a vector.

    Args:
        num_bytes: the working set; rounded to whole matrices of 4 MiB.
    """
    num_matrices = max(1, round(num_bytes / (4 * _ROW**2)))
    keys = jax.random.split(jax.random.key(0), num_matrices)
    matrices = [jax.random.normal(key, (_ROW, _ROW)) for key in keys]

    times = -(-_MATRICES_READ // num_matrices)

    @jax.jit
    def read(x: jax.Array, matrices: list[jax.Array]) -> jax.Array:
        def once(_: Any, x: jax.Array) -> jax.Array:
            for matrix in matrices:
                x = jnp.tanh(matrix @ x)
            return x

        return jax.lax.fori_loop(0, times, once, x)

    seconds = _best_of_a_few(lambda x: read(x, matrices), jnp.ones((_ROW, 1)))
    return times * num_matrices * 4 * _ROW**2 / seconds


def _best_of_a_few(run: Callable[[jax.Array], jax.Array], value: jax.Array) -> float:
    value, best = jax.block_until_ready(run(value)), math.inf
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        value = jax.block_until_ready(run(value))
        best = min(best, time.perf_counter() - began)
    return best


def memory_bytes() -> int | None:
    """Returns the part of the machine's memory that this process may use, as in a container.

    None where the system does not provide it, as on Windows.
    """
    if not hasattr(os, "sysconf"):
        return None
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit_bytes(_content)
    return of_machine if limit is None else min(of_machine, limit)


def memory_limit_bytes(content: Callable[[str], str | None]) -> int | None:
    """Returns the smallest limit of this process's control groups (Linux; version 1 and 2).

    A group has at most the memory of those above it. In a container the path may be the host's, of
    which only the root, the container's own group, is visible.

    Args:
        content: returns the content of a file by its path; None if there is none.

    Returns:
        Bytes; None without a limit.
    """
    found = []
    for line in (content("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = "/sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            root, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):
            limit = (content("/".join([root, *parts[:depth], name])) or "").strip()
            if limit.isdecimal():  # "max" is none
                found.append(int(limit))
    return min(found, default=None)


def _content(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return None
