"""Every test runs with shapes and types checked, on eight CPU devices."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["NPROC"] = "64"  # see training.parallel.give_cpu_devices_threads

import jax
import jaxtyping

jaxtyping.install_import_hook("samplernn_jax", "beartype.beartype")

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
