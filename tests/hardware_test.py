import jax.numpy as jnp
import pytest

from samplernn_jax import hardware


def test_a_function_is_called_on_its_own_result_for_as_long_as_asked():
    calls = []

    def run(value):
        calls.append(int(value))
        return value + 1

    seconds = hardware.seconds_per_call(run, jnp.int32(0), 0.0)
    assert calls == [0, 1, 2, 3]
    assert seconds > 0
    assert hardware.seconds_per_call(run, jnp.int32(0), 0.05) * (len(calls) - 5) >= 0.05


@pytest.mark.parametrize("num_bytes", [1, 40_000_000])
def test_rates_are_those_of_a_computer(num_bytes):
    assert 1e7 < hardware.bandwidth_bytes_per_s(num_bytes) < 1e14
    assert 1e7 < hardware.matmul_flop_per_s("highest") < 1e16


GIB = 2**30
UNLIMITED = "9223372036854771712\n"  # what version 1 says without a limit
LIMITS = {
    "no Linux": ({}, None),
    "no limit": ({"/proc/self/cgroup": "0::/\n"}, None),
    "a container": (
        {"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": f"{3 * GIB}\n"},
        3 * GIB,
    ),
    "a container that sees the path of the host": (
        {"/proc/self/cgroup": "0::/docker/7f3a\n", "/sys/fs/cgroup/memory.max": f"{3 * GIB}\n"},
        3 * GIB,
    ),
    "a limit of a group above": (
        {
            "/proc/self/cgroup": "0::/slurm/job_7/step_0\n",
            "/sys/fs/cgroup/slurm/memory.max": f"{9 * GIB}\n",
            "/sys/fs/cgroup/slurm/job_7/memory.max": f"{4 * GIB}\n",
            "/sys/fs/cgroup/slurm/job_7/step_0/memory.max": "max\n",
        },
        4 * GIB,
    ),
    "version 1": (
        {
            "/proc/self/cgroup": "4:cpu,cpuacct:/a\n3:hugetlb,memory:/a/b:c\n0::/\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED,
            "/sys/fs/cgroup/memory/a/b:c/memory.limit_in_bytes": f"{2 * GIB}\n",
        },
        2 * GIB,
    ),
    "version 1 without a limit": (
        {
            "/proc/self/cgroup": "3:memory:/\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED,
        },
        int(UNLIMITED),
    ),
}


@pytest.mark.parametrize("files, limit", LIMITS.values(), ids=LIMITS)
def test_the_memory_limit_is_the_smallest_of_the_groups(files, limit):
    assert hardware.memory_limit_bytes(files.get) == limit


def test_memory_is_what_the_machine_has_unless_less_is_allowed(monkeypatch):
    whole = hardware.memory_bytes()
    assert 2**28 < whole < 2**50
    monkeypatch.setattr(hardware, "memory_limit_bytes", lambda _: 2**27)
    assert hardware.memory_bytes() == 2**27
    monkeypatch.setattr(hardware, "memory_limit_bytes", lambda _: int(UNLIMITED))
    assert whole <= hardware.memory_bytes() < 2**50
