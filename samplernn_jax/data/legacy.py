"""The original's data, read as the original reads it (datasets/dataset.py), for comparisons.

A folder holds NAME_train.npy, NAME_valid.npy and NAME_test.npy, such as music_train.npy or
Blizzard9k_train.npy: float16 [clips, samples] at 16 kHz. With `normalization="legacy"` tokens,
batches and their order are the original's to the last bit, and so are its mistakes:

- Every clip is scaled on its own so that its extremes become the outermost tokens. Loud and quiet
  clips sound alike, and silence is a different token in each.
- Before that, clips are padded to a multiple of `seq_len`. The padding counts in the bits.
- The mu-law token of silence is 127, while the overlap in front of a clip is q_zero = 128.
- A silent clip divides by zero: it becomes token 0 throughout with mu-law; with linear the tokens
  are not numbers, which is refused here (the original fails when it looks them up).
- The last clips that do not fill a batch are dropped, in evaluation too.
- Batches are shuffled once, and come in the same order in every epoch.

The default, a dataset made by `experiments.prepare`, has none of this.
"""

import functools
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int32

from samplernn_jax.checks import require
from samplernn_jax.config import ArchitectureConfig, DataConfig
from samplernn_jax.data.dataset import SPLITS, Dataset, Split
from samplernn_jax.storage import read_array

SAMPLE_RATE_HZ = 16_000
_SHUFFLE_SEED = 123


def open_legacy(path: Path, config: DataConfig) -> Dataset:
    """Opens a folder of the original's files.

    Args:
        path: the folder.
        config: the data's configuration; its batch_size and seq_len determine which clips are
            dropped and how clips are padded.

    Raises:
        ValueError: a split has no file or several, or a file holds another kind of array or less
            than a batch.
    """
    files = {name: _find(path, name) for name in SPLITS}
    digest = hashlib.sha256()
    splits = {}
    for name, file in files.items():
        clips = _open_clips(file)
        require(
            len(clips) >= config.batch_size,
            f"batch_size={config.batch_size}: must be at most {len(clips)}, the number of "
            f"clips in {file}, as legacy normalization drops a batch that is not full",
        )
        # The digest covers some clips; reading all of them at every start would take too long.
        digest.update(f"{file.name} {clips.dtype} {clips.shape}".encode())
        digest.update(clips[:: max(1, len(clips) // 64)].tobytes())
        splits[name] = LegacySplit(name, file, clips, config.batch_size, config.seq_len)
    return Dataset(SAMPLE_RATE_HZ, splits, digest.hexdigest())


class LegacySplit(Split):
    """A split of the original's data."""

    def __init__(
        self,
        name: str,
        file: Path,
        clips: Float[np.ndarray, "clips samples"],
        batch_size: int,
        seq_len: int,
    ) -> None:
        """Keeps the clips that the original uses, at their padded length."""
        self.name = name
        self._file = file
        self._clips = clips
        self._batch_size = batch_size
        self._padded_len = -(-clips.shape[1] // seq_len) * seq_len
        num_used = len(clips) // batch_size * batch_size
        self.lengths = np.full(num_used, self._padded_len, np.int64)
        # The rows read from this number of clips in turn.
        self._quantized = functools.lru_cache(maxsize=batch_size)(self._quantize)

    def tokens(
        self, clip: int, start: int, stop: int, model: ArchitectureConfig
    ) -> Int32[np.ndarray, " time"]:
        """See `Split`."""
        return self._quantized(clip, model.q_levels, model.q_type)[start:stop]

    def training_order(self, seed: int) -> Iterator[int]:
        """Yields the batches in the original's order, again and again, with any seed."""
        del seed
        while True:
            yield from self.evaluation_order()

    def evaluation_order(self) -> Iterator[int]:
        """Yields the batches in the original's order."""
        for batch in shuffled(self.num_clips // self._batch_size):
            yield from range(batch * self._batch_size, (batch + 1) * self._batch_size)

    def _quantize(self, clip: int, q_levels: int, q_type: str) -> Int32[np.ndarray, " time"]:
        padded = np.zeros(self._padded_len)
        padded[: self._clips.shape[1]] = self._clips[clip]
        try:
            return quantize(padded, q_levels, q_type)
        except ValueError as error:
            raise ValueError(f"{self._file}: clip {clip} {error}") from error


def quantize(
    clip: Float64[np.ndarray, " time"], q_levels: int, q_type: str
) -> Int32[np.ndarray, " time"]:
    """Quantizes one clip as the original's `__batch_quantize` does, "linear" or "mu-law".

    Raises:
        ValueError: the clip has no tokens.
    """
    require(bool(np.isfinite(clip).all()), "holds a sample that is not a finite number")
    from_zero = clip - clip.min()
    if from_zero.max() == 0:
        require(
            q_type != "linear",
            "is silent; legacy normalization has no tokens for silence with q_type='linear'",
        )
        return np.zeros(len(clip), np.int32)
    scaled = from_zero / from_zero.max()
    if q_type == "mu-law":
        return linear_to_mu(2.0 * scaled - 1.0)
    epsilon = 1e-5
    return (scaled * (q_levels - epsilon) + epsilon / 2).astype(np.int32)


def linear_to_mu(waveform: Float64[np.ndarray, " time"]) -> Int32[np.ndarray, " time"]:
    """Does what the original's `linear2mu` does: it rounds down, so that silence is token 127."""
    companded = np.sign(waveform) * np.log(1 + 255 * np.abs(waveform)) / np.log(256)
    return ((companded + 1) / 2 * 255).astype(np.int32)


def shuffled(count: int) -> list[int]:
    """Returns `random.seed(123); random.shuffle(range(count))` of Python 2."""
    order, rng = list(range(count)), random.Random(_SHUFFLE_SEED)
    for i in reversed(range(1, count)):
        j = int(rng.random() * (i + 1))
        order[i], order[j] = order[j], order[i]
    return order


def _find(path: Path, split: str) -> Path:
    files = sorted(path.glob(f"*_{split}.npy"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise ValueError(
            f"data.path={path}: must hold one file *_{split}.npy with normalization='legacy', but "
            f"holds {found}"
        )
    return files[0]


def _open_clips(file: Path) -> Float[np.ndarray, "clips samples"]:
    try:
        clips = read_array(file)
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from error
    require(
        clips.ndim == 2 and clips.dtype.kind == "f" and clips.shape[1] > 0,
        f"{file}: holds {clips.dtype} {list(clips.shape)}, but must hold float [clips, samples]",
    )
    return clips
