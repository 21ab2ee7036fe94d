"""The health of a run: warnings about common problems, each a sentence for the user."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from samplernn_jax.audio.spectrum import power_spectrogram
from samplernn_jax.config import ArchitectureConfig
from samplernn_jax.data.dataset import Split
from samplernn_jax.evaluation.baselines import Baselines
from samplernn_jax.quantization import decode
from samplernn_jax.runs.metrics import Entry

_STUCK_BITS = 0.05
"""A model within this distance in bits of the histogram knows nothing of the order of samples."""

_RISING_BITS = 0.02
"""A smaller rise above the best validation is noise."""

_RISING_VALIDATIONS = 3
_SILENT_DB = -60.0

_NOISE_FLATNESS = 0.5
"""The flatness of noise: white noise has 1, music and speech have less than 0.1."""

_FFT_SIZE = 512
_EXCERPT_SAMPLES = 2**18


def bits_warnings(entries: Sequence[Entry], baselines: Baselines) -> list[str]:
    """Returns warnings about the bits of a run.

    Args:
        entries: the entries of the metrics log, in the order of their steps.
        baselines: the baselines on the validation audio.
    """
    valid = [entry for entry in entries if "valid_bits" in entry]
    warnings = []
    best = min(valid, key=lambda entry: entry["valid_bits"], default=None)
    if best is None:
        return []
    stuck_at = baselines.histogram_bits - _STUCK_BITS
    if len(valid) >= _RISING_VALIDATIONS and best["valid_bits"] > stuck_at:
        warnings.append(
            f"validation is still at the histogram's {baselines.histogram_bits:.3f} bits: the "
            "model knows how loud samples are, but nothing of their order; look at the "
            "recordings (experiments.prepare --describe), or try another "
            "optimizer.learning_rate"
        )
    last = [entry["valid_bits"] for entry in valid[-_RISING_VALIDATIONS:]]
    rising = len(last) == _RISING_VALIDATIONS and all(
        after > before for before, after in itertools.pairwise([best["valid_bits"], *last])
    )
    train_then, train_now = _train_bits(entries, best["step"]), _train_bits(entries, math.inf)
    if rising and last[-1] > best["valid_bits"] + _RISING_BITS and train_now < train_then:
        warnings.append(
            f"validation has risen from {best['valid_bits']:.3f} bits at step {best['step']} to "
            f"{last[-1]:.3f} while training fell: the model memorises the recordings; more "
            "recordings or a smaller model.dim help, and the best checkpoint is kept"
        )
    return warnings


def _train_bits(entries: Sequence[Entry], step: int | float) -> float:
    """Returns the last training bits up to a step; infinite if there are none."""
    bits = [e["train_bits"] for e in entries if "train_bits" in e and e["step"] <= step]
    return bits[-1] if bits else math.inf


def audio_warnings(sequences: np.ndarray, recordings: np.ndarray) -> list[str]:
    """Returns warnings about generated audio.

    Args:
        sequences: float32 [num_sequences, num_samples], the generated audio.
        recordings: float32 [num_samples], an excerpt of the training data.
    """
    loudness_db = [_loudness_db(waveform) for waveform in sequences]
    if max(loudness_db) < _SILENT_DB < _loudness_db(recordings):
        return [
            f"the generated audio is silent ({max(loudness_db):.0f} dB): normal at the beginning, "
            "later a sign of much silence in the recordings or of a low sample.temperature"
        ]
    if sequences.shape[1] < _FFT_SIZE:
        return []
    flatness = min(_flatness(waveform) for waveform in sequences)
    if flatness > _NOISE_FLATNESS > _flatness(recordings):
        return [
            "the generated audio is white noise: normal as long as the bits are above the "
            "bigram's, later a sign of a high sample.temperature"
        ]
    return []


def excerpt(split: Split, model: ArchitectureConfig) -> np.ndarray:
    """Returns the beginning of a split's longest clip, float32 [num_samples], quantized."""
    clip = int(np.argmax(split.lengths))
    tokens = split.tokens(clip, 0, min(int(split.lengths[clip]), _EXCERPT_SAMPLES), model)
    return np.asarray(decode(tokens, model.q_levels, model.q_type))


def _loudness_db(waveform: np.ndarray) -> float:
    """Returns the root mean square in dB of full scale."""
    return float(10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-12))


def _flatness(waveform: np.ndarray) -> float:
    """Returns the geometric over the arithmetic mean of the power spectrum, mean over frames."""
    padded = np.pad(waveform, (0, max(0, _FFT_SIZE - len(waveform))))
    power = np.mean(power_spectrogram(padded, _FFT_SIZE, _FFT_SIZE // 2, _FFT_SIZE), axis=0)
    power = np.maximum(power[1:], 1e-12)
    return float(np.exp(np.mean(np.log(power))) / np.mean(power))
