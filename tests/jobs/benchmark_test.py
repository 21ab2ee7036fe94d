import contextlib

import jax

from samplernn_jax.jobs.benchmark import _empty_compilation_cache


def test_the_compilation_cache_of_this_process_is_back_afterwards():
    before = jax.config.jax_compilation_cache_dir
    with contextlib.suppress(KeyError), _empty_compilation_cache():
        assert jax.config.jax_compilation_cache_dir != before
        assert jax.config.jax_persistent_cache_min_compile_time_secs == 0
        raise KeyError
    assert jax.config.jax_compilation_cache_dir == before
