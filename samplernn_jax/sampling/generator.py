"""The user's side of sampling: a trained model that turns keys into audio."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int

from samplernn_jax import quantization
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.model import Params
from samplernn_jax.sampling.decode import DecodeState, decode, start
from samplernn_jax.sampling.fold import fold
from samplernn_jax.sampling.strategies import sample_token
from samplernn_jax.training.workdir import Workdir

Audio = Float32[np.ndarray, "num_sequences num_samples"]

_BLOCK_S = 1.0


class Generator:
    """Generates audio from a model's parameters.

    Attributes:
        sample_rate_hz: of the audio that it makes.
        step: the training step of the parameters, where they come from a workdir.
    """

    def __init__(
        self,
        config: ArchitectureConfig,
        params: Params,
        sample_rate_hz: int,
        step: int | None = None,
    ) -> None:
        """Folds the parameters; `config` and `params` are as in training."""
        self.sample_rate_hz = sample_rate_hz
        self.step = step
        self._config, self._params = fold(config, params)

    @classmethod
    def from_workdir(cls, workdir: str | Path, step: int | None = None) -> "Generator":
        """Loads the best checkpoint of a training run, or the one of `step`.

        Raises:
            ValueError: the folder holds no run, or the run no such checkpoint.
        """
        # Here, because orbax is slow to import and nothing else of sampling needs it.
        from samplernn_jax.training.checkpoint import restore_params

        run = Workdir(Path(workdir))
        info = run.read_info()
        step, params = restore_params(run, info.config.model, step)
        return cls(info.config.model, params, info.sample_rate_hz, step)

    def generate(
        self,
        key: Array,
        num_sequences: int = 1,
        duration_s: float = 4.0,
        temperature: float = 1.0,
        prompt: np.ndarray | None = None,
    ) -> Audio:
        """Generates sequences of a given length.

        The same key gives the same audio. Sequence i draws the same noise however many there are.

        Args:
            key: a PRNG key from `jax.random.key`.
            num_sequences: how many.
            duration_s: length of each, in seconds.
            temperature: divides the logits; 0 always takes the likeliest token.
            prompt: float [num_samples] in [-1, 1] at `sample_rate_hz`, which every sequence
                continues; it is not part of the result. None starts from silence.

        Returns:
            float32 [num_sequences, num_samples].

        Raises:
            ValueError: an argument breaks its rule; the message names it.
        """
        num_samples = self._num_samples("duration_s", duration_s)
        num_blocks = -(-num_samples // round(_BLOCK_S * self.sample_rate_hz))
        block_len = -(-num_samples // num_blocks)
        blocks = self._blocks(key, num_sequences, block_len, temperature, prompt)
        audio = np.concatenate([next(blocks) for _ in range(num_blocks)], axis=1)
        return audio[:, :num_samples]

    def stream(
        self,
        key: Array,
        num_sequences: int = 1,
        block_s: float = 0.5,
        temperature: float = 1.0,
        prompt: np.ndarray | None = None,
    ) -> Iterator[Audio]:
        """Generates without end, in constant memory.

        The blocks joined are what `generate` returns for the same key.

        Args:
            key: see `generate`.
            num_sequences: see `generate`.
            block_s: length of a block, in seconds.
            temperature: see `generate`.
            prompt: see `generate`.

        Yields:
            float32 [num_sequences, block_s * sample_rate_hz].

        Raises:
            ValueError: an argument breaks its rule; the message names it.
        """
        block_len = self._num_samples("block_s", block_s)
        return self._blocks(key, num_sequences, block_len, temperature, prompt)

    def _num_samples(self, name: str, seconds: float) -> int:
        if not 0.5 < seconds * self.sample_rate_hz < math.inf:
            raise ValueError(f"{name}={seconds}: must be at least one sample long, and finite")
        return round(seconds * self.sample_rate_hz)

    def _blocks(
        self,
        key: Array,
        num_sequences: int,
        block_len: int,
        temperature: float,
        prompt: np.ndarray | None,
    ) -> Iterator[Audio]:
        if num_sequences < 1:
            raise ValueError(f"num_sequences={num_sequences}: must be at least 1")
        if not 0 <= temperature < math.inf:
            raise ValueError(f"temperature={temperature}: must be a number of at least 0")
        state = self._initial_state(key, num_sequences, prompt)
        num_frames = -(-block_len // self._config.top_frame_size)
        return self._endless(state, num_frames, block_len, temperature)

    def _endless(
        self, state: DecodeState, num_frames: int, block_len: int, temperature: float
    ) -> Iterator[Audio]:
        q_levels, q_type = self._config.q_levels, self._config.q_type
        ready = np.zeros((len(state.window), 0), np.int32)
        while True:
            while ready.shape[1] < block_len:
                state, tokens = _decode_block(
                    self._config, num_frames, self._params, state, jnp.float32(temperature)
                )
                ready = np.concatenate([ready, np.asarray(tokens)], axis=1)
            yield quantization.decode(ready[:, :block_len], q_levels, q_type)
            ready = ready[:, block_len:]

    def _initial_state(
        self, key: Array, num_sequences: int, prompt: np.ndarray | None
    ) -> DecodeState:
        config = self._config
        tokens = np.full((1, config.overlap), config.q_zero, np.int32)
        if prompt is not None:
            tokens = _prompt_tokens(config, prompt)
        tokens = np.repeat(tokens, num_sequences, axis=0)
        keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(num_sequences))
        return _start(config, self._params, jnp.asarray(tokens), keys)


def _prompt_tokens(config: ArchitectureConfig, prompt: np.ndarray) -> Int[np.ndarray, "1 time"]:
    """The prompt's tokens, behind the silent overlap with which every clip begins.

    More silence fills the prompt's first top frame up.
    """
    prompt = np.asarray(prompt, np.float32)
    if prompt.ndim != 1 or len(prompt) == 0 or not np.isfinite(prompt).all():
        raise ValueError(
            f"prompt of shape {list(prompt.shape)}: must be finite numbers [num_samples], at "
            "least one"
        )
    tokens = quantization.encode(prompt, config.q_levels, config.q_type)
    missing = -len(tokens) % config.top_frame_size
    return np.pad(tokens, (config.overlap + missing, 0), constant_values=config.q_zero)[None]


_start = jax.jit(start, static_argnums=0)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _decode_block(
    config: ArchitectureConfig,
    num_frames: int,
    params: Params,
    state: DecodeState,
    temperature: Array,
) -> tuple[DecodeState, Array]:
    noise = block_noise(state.keys, state.position, num_frames, config.top_frame_size)
    choose = functools.partial(sample_token, temperature=temperature)
    state, tokens, _ = decode(config, params, state, noise, choose)
    return state, tokens


def block_noise(
    keys: Array, position: Array, num_frames: int, frame_size: int
) -> Float32[Array, "frames batch frame_size"]:
    """Uniform numbers that depend on nothing but a sequence's key and a top frame's position."""

    def frame_noise(key: Array, frame: Array) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, frame), (frame_size,), jnp.float32)

    over_batch = jax.vmap(frame_noise, in_axes=(0, None))
    return jax.vmap(over_batch, in_axes=(None, 0))(keys, position + jnp.arange(num_frames))
