"""The user's side of sampling: a trained model that turns keys into audio."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float32

from samplernn_jax import quantization
from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.devices import make_mesh, memory_of_device, mesh_of_rows, replicate
from samplernn_jax.evaluation import scores
from samplernn_jax.models.interface import architecture
from samplernn_jax.models.types import Params
from samplernn_jax.runs.workdir import Workdir
from samplernn_jax.sampling.engines.available import ENGINES
from samplernn_jax.sampling.engines.interface import first_state
from samplernn_jax.sampling.priming import Heard, PromptLike, hear, initial_state
from samplernn_jax.sampling.schedules import Setting
from samplernn_jax.sampling.snapshots import LONGEST_BLOCK, Snapshot, load_snapshot
from samplernn_jax.sampling.strategies import Strategy, make_settings
from samplernn_jax.sampling.stream import Audio, Stream
from samplernn_jax.sizes import check_generation

_BLOCK_S = 0.25
"""Seconds that `generate` decodes at once, for any duration, so that it compiles only once.

Blocks are long enough to hide their overhead, and short enough that decoding the last one to its
end wastes little.
"""


class Generator:
    """Generates audio with a trained model, and scores audio.

    Attributes:
        config: the model's configuration.
        sample_rate_hz: the sample rate of the generated audio.
        step: the training step of the parameters, if they come from a workdir.
    """

    def __init__(
        self,
        config: ArchitectureConfig,
        params: Params,
        sample_rate_hz: int,
        step: int | None = None,
        devices: Sequence[jax.Device] | None = None,
        engine: str = "scan",
    ) -> None:
        """Prepares an engine with the parameters.

        Args:
            config: the model's configuration.
            params: the model's parameters, as in training.
            sample_rate_hz: the sample rate of the audio that the model was trained on.
            step: the training step of the parameters, if known.
            devices: the devices of this process over which sequences are spread; None for all.
            engine: the name of the engine that decodes, from `ENGINES`.

        Raises:
            ValueError: there is no such engine.
        """
        require(engine in ENGINES, f"engine={engine!r}: must be one of {', '.join(ENGINES)}")
        self.config = config
        self.sample_rate_hz = sample_rate_hz
        self.step = step
        self._params = params
        self._devices = jax.local_devices() if devices is None else devices
        self._engine = ENGINES[engine](config, params, sample_rate_hz, self._devices)

    @classmethod
    def from_workdir(
        cls, workdir: str | Path, step: int | None = None, engine: str = "scan"
    ) -> "Generator":
        """Returns a generator with the best checkpoint of a training run, or with that of `step`.

        Raises:
            ValueError: the folder holds no run, or the run does not have the checkpoint.
        """
        # Here, because orbax is slow to import and nothing else of sampling needs it.
        from samplernn_jax.runs.checkpoint import restore_params

        run = Workdir(Path(workdir))
        info = run.read_info()
        step, params = restore_params(run, info.config.model, step)
        return cls(info.config.model, params, info.sample_rate_hz, step, engine=engine)

    def generate(
        self,
        key: Array,
        num_sequences: int | None = None,
        duration_s: float = 4.0,
        temperature: Setting = 1.0,
        prompt: PromptLike | Sequence[PromptLike] | None = None,
        *,
        top_k: Setting | None = None,
        top_p: Setting | None = None,
        keep_prompt: bool = False,
        random_state: bool = False,
    ) -> Audio:
        """Returns generated sequences of a given length.

        The same key gives the same audio. Sequence i draws the same noise for any number of
        sequences and on any devices.

        Args:
            key: a PRNG key from `jax.random.key`.
            num_sequences: the number of sequences, a multiple of the number of prompts, each of
                which is continued equally often. None for one, or one for each prompt.
            duration_s: the length of each sequence, in seconds.
            temperature: the divisor of the logits; 0 always takes the likeliest token. It is, like
                `top_k` and `top_p`, a number, a `Schedule`, or a list of them, one per sequence.
            prompt: the audio that the sequences continue: an array, a file, a `Prompt`, or several
                of them. None starts from silence.
            top_k: the number of likeliest tokens to draw from; None for all.
            top_p: the total probability of the likeliest tokens to draw from; None for all.
            keep_prompt: put the prompt in front of the result, as the model heard it.
            random_state: begin with random RNN states, different for each sequence.

        Returns:
            float32 [num_sequences, num_samples] at `sample_rate_hz`.

        Raises:
            ValueError: an argument breaks its rule; the message names it.
        """
        num_samples = self.num_samples("duration_s", duration_s)
        stream = self.stream(
            *(key, num_sequences, self.block_s, temperature, prompt),
            top_k=top_k,
            top_p=top_p,
            random_state=random_state,
        )
        self._check_room(len(stream.numbers), num_samples)
        before: list[Audio] = []
        if keep_prompt:
            require(len(stream.prompts) > 0, "keep_prompt=True: there is no prompt")
            lengths = sorted({len(heard) for heard in stream.prompts})
            require(
                len(lengths) == 1,
                f"keep_prompt=True: the prompts must be equally long, got {lengths} samples",
            )
            before = [np.stack(stream.prompts)]
        return np.concatenate([*before, *stream.blocks(num_samples)], axis=1)

    def stream(
        self,
        key: Array,
        num_sequences: int | None = None,
        block_s: float = 0.5,
        temperature: Setting = 1.0,
        prompt: PromptLike | Sequence[PromptLike] | None = None,
        *,
        top_k: Setting | None = None,
        top_p: Setting | None = None,
        random_state: bool = False,
        part: tuple[int, int] = (0, 1),
    ) -> Stream:
        """Returns an endless stream of generated audio, which takes constant memory.

        The blocks joined are what `generate` returns for the same key.

        Args:
            key: see `generate`.
            num_sequences: see `generate`.
            block_s: the length of a block, in seconds.
            temperature: see `generate`.
            prompt: see `generate`.
            top_k: see `generate`.
            top_p: see `generate`.
            random_state: see `generate`.
            part: (i, n) for the i-th of n equal shares of the sequences, where n processes share
                the work.

        Returns:
            An iterator over blocks, float32 [num_sequences, block_s * sample_rate_hz].

        Raises:
            ValueError: an argument breaks its rule; the message names it.
        """
        block_len = self._block_len(block_s)
        prompts = self._hear(prompt)
        if random_state:
            self._check_random_state(prompts)
        if num_sequences is None:
            num_sequences = max(1, len(prompts))
        in_part = _sequences_in_part(num_sequences, len(prompts), part)
        self._check_room(len(in_part), block_len)
        numbers = np.array(in_part)
        settings = make_settings(num_sequences, temperature, top_k, top_p)
        settings = jax.tree.map(lambda x: x[numbers], settings)
        continued = [prompts[n * len(prompts) // num_sequences] for n in numbers if prompts]
        return self._begin(key, numbers, settings, continued, random_state, block_len)

    def resume(self, path: str | Path) -> Stream:
        """Returns a stream that goes on where `Stream.save` was called, on any number of devices.

        Raises:
            ValueError: the file is not a saved stream, or belongs to another model.
        """
        one = jax.ShapeDtypeStruct((1, self.config.overlap), np.int32)
        like = jax.eval_shape(
            functools.partial(first_state, self.config),
            self._params,
            one,
            jax.random.split(jax.random.key(0), 1),
        )
        snapshot = load_snapshot(Path(path), self.fingerprint, like, self.config.q_levels)
        return Stream(self._engine, snapshot)

    def score(self, audio: Audio) -> Float32[np.ndarray, "num_sequences num_samples"]:
        """Returns the bits of each sample of any audio, taken as a clip that begins with silence.

        Their mean is the bits per sample; the fewer bits, the likelier the audio.

        Args:
            audio: float32 [num_sequences, num_samples] at `sample_rate_hz`.

        Raises:
            ValueError: the array is empty, or does not hold audio.
        """
        require(
            audio.ndim == 2 and audio.size > 0,
            f"audio of shape {list(audio.shape)}: must be [num_sequences, num_samples], not empty",
        )
        require(bool(np.isfinite(audio).all()), "audio: holds a value that is not a finite number")
        mesh = mesh_of_rows(len(audio), self._devices)
        tokens = quantization.encode(audio, self.config.q_levels, self.config.q_type)
        return scores.teacher_forced_bits(self.config, replicate(mesh, self._params), mesh, tokens)

    @functools.cached_property
    def fingerprint(self) -> str:
        """The model's fingerprint: the SHA-256 of configuration, sample rate and all parameters.

        The precision of matrix products does not change it.
        """
        fields = dataclasses.asdict(self.config)
        del fields["matmul_precision"]
        identity = json.dumps([fields, self.sample_rate_hz])
        digest = hashlib.sha256(identity.encode())
        for path, leaf in jax.tree.leaves_with_path(self._params):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()

    @property
    def block_s(self) -> float:
        """The length in seconds of the blocks that `generate` decodes."""
        return max(_BLOCK_S, 1 / self.sample_rate_hz)

    def num_samples(self, name: str, seconds: float) -> int:
        """Returns the samples in a duration; `name` is the user's name for it, for the message.

        Raises:
            ValueError: the duration is shorter than a sample, or not finite.
        """
        require(
            0.5 < seconds * self.sample_rate_hz < math.inf,
            f"{name}={seconds}: must be at least one sample long, and finite",
        )
        return round(seconds * self.sample_rate_hz)

    def _check_room(self, num_sequences: int, num_samples: int) -> None:
        mesh = make_mesh(self._devices)
        limit = memory_of_device(mesh)
        in_all = None if limit is None else limit * mesh.size
        check_generation(self.config, num_sequences, num_samples, in_all)

    def _block_len(self, block_s: float) -> int:
        block_len = self.num_samples("block_s", block_s)
        require(
            block_len <= LONGEST_BLOCK,
            f"block_s={block_s:g}: must be at most {LONGEST_BLOCK / self.sample_rate_hz:g}",
        )
        return block_len

    def _check_random_state(self, prompts: Sequence[Heard]) -> None:
        require(
            not prompts and architecture(self.config).has_states,
            "random_state=True: needs a model with RNNs, and no prompt, which would determine "
            "their states",
        )

    def _begin(
        self,
        key: Array,
        numbers: np.ndarray,
        settings: Strategy,
        prompts: Sequence[Heard],
        random_state: bool,
        block_len: int,
    ) -> Stream:
        """Returns the stream of the sequences with these numbers, each after its prompt."""
        config, mesh = self.config, mesh_of_rows(len(numbers), self._devices)
        keys = jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)
        tokens = [heard.tokens for heard in prompts]
        params = replicate(mesh, self._params)
        state = initial_state(config, params, mesh, keys, tokens, random_state)
        nothing = np.zeros((len(numbers), 0), np.int32)
        snapshot = Snapshot(
            self.fingerprint,
            *(block_len, numbers, state, settings),
            conditions=(),
            tokens=nothing,
            bits=nothing.astype(np.float32),
            options={},
        )
        return Stream(
            self._engine,
            snapshot,
            tuple(quantization.decode(heard, config.q_levels, config.q_type) for heard in tokens),
            tuple(dict.fromkeys(note for heard in prompts for note in heard.notes)),
        )

    def _hear(self, prompt: PromptLike | Sequence[PromptLike] | None) -> list[Heard]:
        if prompt is None:
            return []
        each = [prompt] if isinstance(prompt, PromptLike) else prompt
        return [hear(one, self.config, self.sample_rate_hz) for one in each]


def _sequences_in_part(num_sequences: int, num_prompts: int, part: tuple[int, int]) -> range:
    """Returns the numbers of the sequences in a part, see `Generator.stream`."""
    require(num_sequences >= 1, f"num_sequences={num_sequences}: must be at least 1")
    require(
        num_prompts == 0 or num_sequences % num_prompts == 0,
        f"num_sequences={num_sequences}: must be a multiple of the {num_prompts} prompts",
    )
    index, num_parts = part
    require(
        num_sequences >= num_parts,
        f"num_sequences={num_sequences}: must be at least one for each of {num_parts} parts",
    )
    of_each, more = divmod(num_sequences, num_parts)  # the first parts have one more
    first = index * of_each + min(index, more)
    return range(first, first + of_each + (index < more))
