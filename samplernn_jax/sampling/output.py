"""Generated sequences as files."""

from pathlib import Path

import numpy as np

from samplernn_jax import audio, plots


def write_sequences(
    folder: Path, sequences: np.ndarray, sample_rate_hz: int, prefix: str
) -> list[Path]:
    """Writes each sequence as PREFIX_NUMBER.wav with its spectrogram beside it as .png.

    Args:
        folder: made if needed.
        sequences: float32 [num_sequences, num_samples].
        sample_rate_hz: of the sequences.
        prefix: of the file names.

    Returns:
        The WAV files.
    """
    paths = [folder / f"{prefix}_{number}.wav" for number in range(len(sequences))]
    for path, waveform in zip(paths, sequences, strict=True):
        audio.write(path, waveform, sample_rate_hz)
        plots.spectrogram(path.with_suffix(".png"), waveform, sample_rate_hz, title=path.stem)
    return paths
