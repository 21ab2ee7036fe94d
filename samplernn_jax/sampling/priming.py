"""Prompts: audio that sequences continue, and the state after it."""

import contextlib
import dataclasses
import functools
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int

from samplernn_jax import audio, quantization
from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.devices import Step, map_step, pad_rows, shard_rows
from samplernn_jax.models import teacher_forcing
from samplernn_jax.models.interface import architecture
from samplernn_jax.models.types import Carry, Params, Predictions
from samplernn_jax.sampling.engines.interface import DecodeState, first_state

_CHUNK_SAMPLES = 4096
"""The approximate number of a prompt's samples that are read at once, which limits memory."""

_CHUNK_SAMPLES_OF_ALL = 2**15
"""The same for all sequences on a device together."""

_LONGEST_S = 1e9
"""The longest duration whose samples can be counted at any sample rate."""

_MOST_CHANNELS = 64
"""An array with more columns than that was probably transposed."""

_RANDOM_STATE = 2**32 - 1
"""The number folded into a sequence's key for its initial states; frames fold in theirs."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """Audio for a sequence to continue: a recording or a part of it, mixed down to one channel.

    Attributes:
        audio: a file, or an array [num_samples] or [num_samples, channels] in [-1, 1].
        sample_rate_hz: the sample rate of an array, None for the generator's; not for files.
        start_s: the start of the part, in seconds.
        duration_s: the length of the part, in seconds; None for the rest of the recording.
        gain: the factor for the amplitudes, such as the gain of the dataset that the model was
            trained on.
    """

    audio: str | Path | np.ndarray | jax.Array
    sample_rate_hz: int | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    gain: float = 1.0

    def __post_init__(self) -> None:
        require(
            0 <= self.start_s <= _LONGEST_S,
            f"prompt_start_s={self.start_s}: must be from 0 to {_LONGEST_S:g}",
        )
        low, high = audio.SAMPLE_RATES_HZ
        require(
            self.sample_rate_hz is None or low <= self.sample_rate_hz <= high,
            f"prompt sample_rate_hz={self.sample_rate_hz}: must be from {low} to {high}",
        )
        require(
            self.duration_s is None or 0 < self.duration_s <= _LONGEST_S,
            f"prompt_duration_s={self.duration_s}: must be greater than 0, and at most "
            f"{_LONGEST_S:g}",
        )
        require(
            0 < self.gain < math.inf,
            f"prompt_gain={self.gain}: must be greater than 0, and finite",
        )


PromptLike = Prompt | str | Path | np.ndarray | jax.Array


class Heard(NamedTuple):
    """A prompt as the model hears it.

    Attributes:
        tokens: int32 [num_samples].
        notes: remarks for the user, a sentence each.
    """

    tokens: Int[np.ndarray, " num_samples"]
    notes: tuple[str, ...]


def hear(prompt: PromptLike, config: ArchitectureConfig, sample_rate_hz: int) -> Heard:
    """Reads, resamples, mixes down and quantizes a prompt.

    Raises:
        ValueError: the prompt cannot be read, or holds no audio.
    """
    if not isinstance(prompt, Prompt):
        prompt = Prompt(prompt)
    is_array = isinstance(prompt.audio, np.ndarray | jax.Array)
    name = f"prompt {'array' if is_array else prompt.audio}"
    try:
        heard = audio.read_mono(functools.partial(_opened, prompt, sample_rate_hz), sample_rate_hz)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    waveform = heard.waveform
    require(len(waveform) > 0, f"{name}: holds no audio from {prompt.start_s:g} s on")
    with np.errstate(all="ignore"):
        waveform = prompt.gain * waveform
    require(
        bool(np.isfinite(waveform).all()),
        f"prompt_gain={prompt.gain:g}: makes {name} louder than float32 can hold",
    )
    tokens = quantization.encode(waveform, config.q_levels, config.q_type)
    notes = [f"{name} {note}" for note in heard.notes]
    if heard.source_rate_hz != sample_rate_hz:
        notes.append(
            f"{name} was resampled from {heard.source_rate_hz} Hz to the model's {sample_rate_hz}"
        )
    length_s = len(tokens) / sample_rate_hz
    if prompt.duration_s is not None and length_s < 0.99 * prompt.duration_s:
        notes.append(f"{name} has only {length_s:.3f} s from {prompt.start_s:g} s on")
    if len(tokens) < config.overlap:
        notes.append(
            f"{name} has {len(tokens)} samples, fewer than the {config.overlap} that the model "
            "looks back on, so silence is put in front"
        )
    if (tokens == config.q_zero).all():
        notes.append(f"{name} is silence to the model, which has {config.q_levels} levels")
    return Heard(tokens, tuple(notes))


@contextlib.contextmanager
def _opened(prompt: Prompt, sample_rate_hz: int) -> Iterator[audio.OpenRecording]:
    """Opens the part of the recording that the prompt names."""
    if isinstance(prompt.audio, np.ndarray | jax.Array):
        rate, samples = prompt.sample_rate_hz or sample_rate_hz, np.asarray(prompt.audio)
        require(
            samples.dtype.kind == "f"
            and (
                samples.ndim == 1 or (samples.ndim == 2 and 1 <= samples.shape[1] <= _MOST_CHANNELS)
            ),
            f"has shape {list(samples.shape)} and type {samples.dtype}, but must be floating-point "
            f"[num_samples] or [num_samples, channels], 1 to {_MOST_CHANNELS} channels",
        )
        frames = samples.astype(np.float32)
        frames = frames[:, None] if frames.ndim == 1 else frames
        start, stop = _part(prompt, rate)
        blocks = iter([frames[start:stop]])
        yield audio.OpenRecording(rate, frames.shape[1], blocks, len(frames), start)
        return
    path = Path(prompt.audio)
    with audio.open_recording(path) as whole:
        rate, num_frames = whole.sample_rate_hz, whole.num_frames
    start, stop = _part(prompt, rate)
    require(
        start < (num_frames or sys.maxsize),
        f"ends after {num_frames / rate:.3f} s, but must be longer than "
        f"prompt_start_s={prompt.start_s:g}",
    )
    with audio.open_recording(path, start, None if stop is None else stop - start) as part:
        yield part


def _part(prompt: Prompt, sample_rate_hz: int) -> tuple[int, int | None]:
    """Returns the first sample of the part and the one after its last; None for the end."""
    start = round(prompt.start_s * sample_rate_hz)
    if prompt.duration_s is None:
        return start, None
    return start, start + max(1, round(prompt.duration_s * sample_rate_hz))


def initial_state(
    config: ArchitectureConfig,
    params: Params,
    mesh: Mesh,
    keys: Array,
    prompts: Sequence[Int[np.ndarray, " _"]] = (),
    random_state: bool = False,
) -> DecodeState:
    """Returns the state before the first generated sample.

    Args:
        config: the model's configuration.
        params: the model's parameters, as in training, on every device of the mesh.
        mesh: the devices over which the sequences are spread.
        keys: one PRNG key per sequence.
        prompts: the tokens that each sequence continues; () to begin with silence.
        random_state: begin with RNN states that are uniform in [-0.5, 0.5), as half of the
            original's samples do, instead of h0.
    """
    num_sequences, keys = len(keys), shard_rows(mesh, pad_rows(mesh, keys))
    prompts = [*prompts, *list(prompts[-1:]) * (len(keys) - num_sequences)]
    frames_at_once = _frames_at_once(config, mesh, len(keys))
    tokens, reset = _ending_together(config, prompts, len(keys), frames_at_once)
    context = shard_rows(mesh, tokens[:, tokens.shape[1] - config.overlap :])
    _, state = _start_step(config, mesh, random_state)(params, context, keys)
    if architecture(config).has_states:
        segments = teacher_forcing.segments_of(config, mesh, tokens, reset, frames_at_once)
        step = teacher_forcing.forcing_step(config, mesh, _nothing)
        for _, rows in teacher_forcing.run(step, params, state.carry, segments):
            state = state._replace(carry=rows.carry)
    if num_sequences == len(keys):
        return state
    return jax.tree.map(lambda x: x[:num_sequences], state)


def _frames_at_once(config: ArchitectureConfig, mesh: Mesh, num_rows: int) -> int:
    """Returns the number of frames of the top tier in which all prompts are read at once."""
    of_each = _CHUNK_SAMPLES_OF_ALL * mesh.size // num_rows
    return max(1, min(_CHUNK_SAMPLES, of_each) // config.top_frame_size)


def _ending_together(
    config: ArchitectureConfig,
    prompts: Sequence[Int[np.ndarray, " _"]],
    num_rows: int,
    frames_at_once: int,
) -> tuple[Int[np.ndarray, "rows time"], Bool[np.ndarray, "rows frames"]]:
    """Returns rows that end with their prompts, and the frames at which the states restart.

    Before a prompt there is silence, which fills up its first frame and the overlap with which
    every clip begins.
    """
    top = config.top_frame_size
    num_frames = max((-(-len(prompt) // top) for prompt in prompts), default=0)
    num_frames = -(-num_frames // frames_at_once) * frames_at_once
    length = config.overlap + num_frames * top
    tokens = np.full((num_rows, length), config.q_zero, np.int32)
    reset = np.zeros((num_rows, num_frames), bool)
    for row, prompt in enumerate(prompts):
        tokens[row, length - len(prompt) :] = prompt
        reset[row, num_frames - -(-len(prompt) // top)] = True
    return tokens, reset


@functools.cache
def _start_step(config: ArchitectureConfig, mesh: Mesh, random_state: bool) -> Step:
    def step(params: Params, context: Array, keys: Array) -> tuple[tuple, DecodeState]:
        state = first_state(config, params, context, keys)
        if random_state:
            state = state._replace(carry=_random_states(state.carry, keys))
        return (), state

    return map_step(step, mesh, "shard_map", donate=())


def _random_states(carry: Carry, keys: Array) -> Carry:
    """Returns states that are drawn for each sequence with its own key."""

    def draw(key: Array, carry: Carry) -> Carry:
        key = jax.random.fold_in(key, _RANDOM_STATE)
        return {
            name: jax.random.uniform(
                jax.random.fold_in(key, number), state.shape, state.dtype, -0.5, 0.5
            )
            for number, (name, state) in enumerate(sorted(carry.items()))
        }

    return jax.vmap(draw)(keys, carry)


def _nothing(predictions: Predictions, inputs: teacher_forcing.Inputs) -> tuple:
    """Keeps nothing of the predictions, as a prompt leaves only the carry."""
    del predictions, inputs
    return ()
