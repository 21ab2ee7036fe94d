import jax
import jax.numpy as jnp
import numpy as np

from samplernn_jax.sampling.noise import block_noise, block_times


def test_noise_depends_on_key_and_position_only():
    keys = jax.random.split(jax.random.key(0), 3)
    position = jnp.array([[0, 0], [0, 5], [0, 2**32 - 2]], jnp.uint32)
    whole = block_noise(keys, position, 6, 4)
    assert whole.shape == (3, 24)
    after_it = jnp.array([[0, 9], [1, 2]], jnp.uint32)
    later = block_noise(keys[1:], after_it, 2, 4)
    np.testing.assert_array_equal(later, whole[1:, 16:])
    assert len(np.unique(whole)) == whole.size
    assert 0 <= whole.min() < whole.max() < 1


def test_noise_never_begins_again():
    keys = jnp.repeat(jax.random.split(jax.random.key(0), 1), 3)
    position = jnp.array([[0, 0], [1, 0], [2, 0]], jnp.uint32)
    assert len(np.unique(block_noise(keys, position, 6, 4))) == 3 * 24


def test_times_do_not_depend_on_the_length_of_the_blocks_even_where_float32_rounds_them():
    frames = [0, 2**23 + 1, 2**32 - 3, 5 * 2**32 + 9]

    def position(first):
        return jnp.array([divmod(frame + first, 2**32) for frame in frames], jnp.uint32)

    whole = block_times(position(0), 4, 8)
    halves = [block_times(position(first), 2, 8) for first in (0, 2)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole)
    exact = 8.0 * np.array(frames)[:, None] + np.arange(32)
    np.testing.assert_array_equal(whole[0], exact[0])
    np.testing.assert_allclose(whole, exact, rtol=2e-7)
