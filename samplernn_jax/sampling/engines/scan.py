"""The engine "scan": a jitted scan over the frames of a block, on any number of devices."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int, Shaped

from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.devices import Step, map_step, mesh_of_rows, pad_rows, replicate, shard_rows
from samplernn_jax.losses import token_bits
from samplernn_jax.models.folded import columns
from samplernn_jax.models.interface import architecture
from samplernn_jax.models.types import Choose, Conditions, FrameInputs, Memory, Params
from samplernn_jax.sampling.engines.interface import Block, DecodeState
from samplernn_jax.sampling.noise import advance, block_noise, block_times
from samplernn_jax.sampling.schedules import at
from samplernn_jax.sampling.strategies import Strategy, sample_token


class Running(NamedTuple):
    """Sequences on the devices, with rows added until each device has equally many.

    Attributes:
        num_sequences: the number of rows that are sequences.
        mesh: the devices.
        folded: the folded model, on each device.
        state: the state of all rows.
        rows: the settings and conditions of all rows.
    """

    num_sequences: int
    mesh: Mesh
    folded: Any
    state: DecodeState
    rows: tuple[Strategy, Conditions]


class ScanEngine:
    """Decodes by XLA on the given devices; see `Engine`."""

    def __init__(
        self,
        config: ArchitectureConfig,
        params: Params,
        sample_rate_hz: int,
        devices: Sequence[jax.Device],
    ) -> None:
        """Folds the parameters.

        Args:
            config: the model's configuration.
            params: the model's parameters, as in training.
            sample_rate_hz: the sample rate of the model's audio.
            devices: the devices over which sequences are spread.
        """
        self.config, self.sample_rate_hz = config, sample_rate_hz
        self._folded, self._devices = architecture(config).fold(params), devices

    def begin(self, state: DecodeState, settings: Strategy, conditions: Conditions) -> Running:
        """Puts everything on the devices."""
        num_sequences = len(state.window)
        mesh = mesh_of_rows(num_sequences, self._devices)
        state, rows = shard_rows(mesh, pad_rows(mesh, (state, (settings, conditions))))
        return Running(num_sequences, mesh, replicate(mesh, self._folded), state, rows)

    def decode(self, running: Running, num_frames: int) -> tuple[Running, Block]:
        """Dispatches the block and waits for nothing."""
        step = block_step(self.config, running.mesh, num_frames, self.sample_rate_hz)
        _, (state, block) = step(running.folded, running.state, running.rows)
        return running._replace(state=state), block

    def state(self, running: Running) -> DecodeState:
        """Returns the state of the sequences, without the rows that fill up the devices."""
        return jax.tree.map(lambda x: x[: running.num_sequences], running.state)


@functools.cache
def block_step(
    config: ArchitectureConfig, mesh: Mesh, num_frames: int, sample_rate_hz: int
) -> Step:
    """Returns the step (folded, state, (settings, conditions)) -> ((), (state, block)).

    The state is donated.
    """

    def step(
        folded: Any, state: DecodeState, rows: tuple[Strategy, Conditions]
    ) -> tuple[tuple, tuple[DecodeState, Block]]:
        settings, conditions = rows
        frame_size = state.window.shape[1]
        uniform = block_noise(state.keys, state.position, num_frames, frame_size)
        times_s = block_times(state.position, num_frames, frame_size) / sample_rate_hz
        strategy = Strategy(*(points and at(points, times_s) for points in settings))
        inputs = (uniform, strategy)
        state, tokens, bits = decode(config, folded, state, inputs, _draw, conditions)
        return (), (state, Block(tokens, bits))

    return map_step(step, mesh, "shard_map", donate=(1,))


def _draw(
    logits: Float[Array, "batch q_levels"], inputs: tuple[Array, Strategy]
) -> tuple[Int[Array, " batch"], Float32[Array, " batch"]]:
    """Draws tokens by uniform numbers and a strategy; returns them and their bits."""
    uniform, strategy = inputs
    tokens = sample_token(logits, uniform, strategy)
    return tokens, token_bits(logits, tokens).astype(jnp.float32)


def decode(
    config: ArchitectureConfig,
    folded: Any,
    state: DecodeState,
    inputs: Any,
    choose: Choose,
    conditions: Conditions = (),
) -> tuple[DecodeState, Int[Array, "batch time"], Any]:
    """Generates one sample for each of the inputs, a multiple of the top frame size.

    Args:
        config: the model's configuration; all products have its `matmul_precision`.
        folded: the model, from `Architecture.fold`.
        state: the state after the last block.
        inputs: a pytree of [batch, time] that `choose` gets sample by sample, such as random
            numbers. Forced tokens work as well, which makes teacher forcing a special case.
        choose: picks the tokens.
        conditions: the conditioning of each row.

    Returns:
        The state after the block, its tokens, and what `choose` kept, [batch, time, ...].
    """
    model = architecture(config)
    folded = jax.tree.map(jnp.asarray, folded)
    window = columns(state.window)
    frames = jax.tree.map(lambda x: x.T.reshape(-1, *window.shape), inputs)
    num_frames = len(jax.tree.leaves(frames)[0])

    def top_frame(before: tuple[Array, Memory], step: tuple[Array, Any]) -> Any:
        (window, memory), (number, inputs) = before, step
        frame = FrameInputs(window, number, conditions, inputs)
        memory, tokens, kept = model.decode_frame(folded, memory, frame, choose)
        return (tokens, memory), (tokens, kept)

    with jax.default_matmul_precision(config.matmul_precision):
        (window, memory), (tokens, kept) = jax.lax.scan(
            top_frame, (window, model.to_memory(state.carry)), (jnp.arange(num_frames), frames)
        )
    tokens, kept = jax.tree.map(_join_frames, (tokens, kept))
    state = DecodeState(
        window.T,
        model.to_carry(memory, num_frames),
        state.keys,
        advance(state.position, jnp.uint32(num_frames)),
    )
    return state, tokens, kept


def _join_frames(frames: Shaped[Array, "frames size batch *rest"]) -> Array:
    """Joins the frames that the scan stacked: [batch, frames * size, *rest]."""
    return jnp.moveaxis(frames.reshape(-1, *frames.shape[2:]), 1, 0)
