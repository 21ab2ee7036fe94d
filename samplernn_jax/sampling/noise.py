"""Random numbers and times of samples, from the position of their frame: equal in any block."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, UInt32


def advance(
    position: UInt32[Array, "... 2"], num_frames: UInt32[Array, "..."]
) -> UInt32[Array, "... 2"]:
    """Returns the positions `num_frames` later; the shapes in front of the words are broadcast."""
    low = position[..., 1] + num_frames
    return jnp.stack([position[..., 0] + (low < num_frames), low], axis=-1)


def block_noise(
    keys: Array, position: Array, num_frames: int, frame_size: int
) -> Float32[Array, "batch time"]:
    """Returns uniform numbers that depend only on a sequence's key and a top frame's position."""

    def frame_noise(key: Array, frame: Array) -> Array:
        for word in frame:
            key = jax.random.fold_in(key, word)
        return jax.random.uniform(key, (frame_size,), jnp.float32)

    over_frames = jax.vmap(frame_noise, in_axes=(None, 0))
    frames = _block_frames(position, num_frames)
    return jax.vmap(over_frames)(keys, frames).reshape(len(position), -1)


def block_times(position: Array, num_frames: int, frame_size: int) -> Float32[Array, "batch time"]:
    """Returns the time of each sample of a block, in samples, rounded alike for all lengths."""
    high, low = jnp.moveaxis(_block_frames(position, num_frames).astype(jnp.float32), -1, 0)
    first = (high * 2.0**32 + low) * frame_size
    within = jnp.arange(frame_size, dtype=jnp.float32)[None, None]
    return (first[:, :, None] + within).reshape(len(position), -1)


def _block_frames(position: Array, num_frames: int) -> UInt32[Array, "batch num_frames 2"]:
    """Returns the positions of a block's top frames."""
    return advance(position[:, None], jnp.arange(num_frames, dtype=jnp.uint32)[None])
