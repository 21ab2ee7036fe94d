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
