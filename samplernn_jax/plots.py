"""Pictures: spectrograms and learning curves, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure, FigureBase

from samplernn_jax.audio import power_spectrogram
from samplernn_jax.storage import replace_file

_FFT_LEN = 512
_FLOOR_DB = -90.0


def spectrogram(path: Path, waveform: np.ndarray, sample_rate_hz: int, title: str) -> None:
    """Draws the waveform above its spectrogram, in dB below the loudest bin."""
    clips(path, {title: waveform}, sample_rate_hz)


def clips(path: Path, waveforms: Mapping[str, np.ndarray], sample_rate_hz: int) -> None:
    """Draws one `spectrogram` below the other, with the keys as titles."""
    _save(clips_figure(waveforms, sample_rate_hz), path)


def clips_figure(waveforms: Mapping[str, np.ndarray], sample_rate_hz: int) -> Figure:
    """Returns the figure that `clips` writes to a file."""
    figure = Figure(figsize=(9, 5 * len(waveforms)), layout="constrained")
    for subfigure, (title, waveform) in zip(
        figure.subfigures(len(waveforms), squeeze=False)[:, 0], waveforms.items(), strict=True
    ):
        _draw_clip(subfigure, waveform, sample_rate_hz, title)
    return figure


def _draw_clip(figure: FigureBase, waveform: np.ndarray, sample_rate_hz: int, title: str) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    seconds = np.arange(len(waveform)) / sample_rate_hz
    above.plot(seconds, waveform, linewidth=0.4)
    above.set(title=title, ylim=(-1, 1), ylabel="amplitude")
    power_db = _spectrogram_db(waveform)
    below.imshow(
        power_db.T,
        origin="lower",
        aspect="auto",
        extent=(0, len(waveform) / sample_rate_hz, 0, sample_rate_hz / 2000),
        vmin=_FLOOR_DB,
        vmax=0,
        cmap="magma",
    )
    below.set(xlabel="seconds", ylabel="kHz")


def learning_curve(
    path: Path, entries: Sequence[Mapping[str, Any]], baselines: Mapping[str, float]
) -> None:
    """Draws bits per sample over steps, for training and validation.

    Args:
        path: the path of the PNG file.
        entries: the entries of the metrics log.
        baselines: the bits per sample of simple models on the validation audio, by name.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for points, label, style in (
        (without_short_windows(_points(entries, "train_bits")), "training", {"linewidth": 0.8}),
        (_points(entries, "valid_bits"), "validation", {"marker": "o", "markersize": 4}),
    ):
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    for number, (name, value) in enumerate(baselines.items()):
        label = f"{name.removesuffix('_bits')}, as validated"
        axes.axhline(value, label=label, color="gray", linestyle=("--", ":")[number % 2])
    axes.set(xlabel="step", ylabel="bits per sample", title="Learning curve")
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def _points(entries: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(entry["step"], entry[name]) for entry in entries if name in entry]


def without_short_windows(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Returns the points, with means over few steps joined with the next one.

    After a run was stopped and resumed, a mean covers only a few steps, and its noise would look
    like a change of the model.

    Args:
        points: the steps, and the means over the steps since the previous point.
    """
    if not points:
        return []
    lengths = np.diff([step for step, _ in points], prepend=0)
    enough = np.median(lengths) / 2
    joined, length, total = [], 0, 0.0
    for (step, mean), more in zip(points, lengths, strict=True):
        length, total = length + int(more), total + mean * int(more)
        if length >= enough:
            joined.append((step, total / length))
            length, total = 0, 0.0
    return joined


def _spectrogram_db(waveform: np.ndarray) -> np.ndarray:
    """Returns the power [frames, bins] in dB relative to its maximum."""
    padded = np.pad(waveform, (0, max(0, _FFT_LEN - len(waveform))))
    power = power_spectrogram(padded, _FFT_LEN, _FFT_LEN // 4, _FFT_LEN)
    loudest = max(float(power.max()), np.finfo(np.float64).tiny)
    return 10 * np.log10(np.maximum(power / loudest, 10 ** (_FLOOR_DB / 10)))


def _save(figure: Figure, path: Path) -> None:
    with replace_file(path) as partial:
        figure.savefig(partial, format="png", dpi=100)
