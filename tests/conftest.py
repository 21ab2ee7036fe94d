"""Every test runs with shapes and types checked, on eight CPU devices, in programs compiled fast.

Most of the time of the tests is XLA's, which optimizes programs that run for milliseconds. With
the flags below it does not. `XLA_FLAGS= python -m pytest` compiles as it does for users.
"""

import gc
import os
import signal
import tempfile
from importlib.metadata import version

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_parallel_codegen_split_count=1"
    # Later versions of jaxlib end a process that names this one.
    + " --xla_cpu_use_fusion_emitters=false"
    * version("jaxlib").startswith("0.10."),
)
os.environ["NPROC"] = "64"  # see devices.give_cpu_devices_threads

# Many tests compile the same tiny programs, in this process, its workers and the commands.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="samplernn_jax_tests_", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"

import jax
import jaxtyping
import pytest

jaxtyping.install_import_hook("samplernn_jax", "beartype.beartype")

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Tests that run in the background of a script ignore Ctrl-C, and so would the commands they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# jax leaves millions of objects that stay; Python looks through them less often.
gc.set_threshold(100_000, 20, 50)


@pytest.fixture(scope="session")
def data_path(tmp_path_factory):
    """The dataset of tiny runs; nothing may change it."""
    from tests.training.runs import make_dataset  # here, after the import hook

    return make_dataset(tmp_path_factory.mktemp("data") / "tones")
