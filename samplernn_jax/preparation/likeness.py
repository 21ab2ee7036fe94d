"""The likeness of held-out recordings to those for training."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from scipy.spatial import KDTree

from samplernn_jax.preparation.leveling import Leveled
from samplernn_jax.units import decibels

_FEW = 3  # recordings; with fewer, the usual differences are not known
_UNLIKE_DB = 6.0
_UNUSUAL = 2.0

Distance = float


def unlike(held_out: Sequence[Leveled], trained: Sequence[Leveled]) -> list[tuple[str, Distance]]:
    """Returns the held-out recordings that resemble no training recording.

    The distance of two recordings, in dB, is the root of the squared difference of their levels
    (after the gain) plus the mean squared difference of the bands of their long-term spectra. A
    held-out recording is unlike the others if its distance to the nearest training recording is
    more than 6 dB, and more than twice the 95 % quantile of that distance among them.

    Returns:
        The name and distance of each, the furthest first.
    """
    if not held_out or len(trained) < _FEW:
        return []
    tree = KDTree(points := _points(trained))
    among_them = tree.query(points, k=2)[0][:, 1]
    limit = max(_UNLIKE_DB, _UNUSUAL * float(np.quantile(among_them, 0.95)))
    distances = tree.query(_points(held_out))[0].tolist()
    names = [recording.staged.name for recording in held_out]
    far = [(name, d) for name, d in zip(names, distances, strict=True) if d > limit]
    return sorted(far, key=lambda entry: -entry[1])


def _points(recordings: Sequence[Leveled]) -> Float64[np.ndarray, "recordings features"]:
    """Returns level and bands, scaled so that the distance in `unlike` is Euclidean."""
    levels = [decibels(recording.rms) for recording in recordings]
    bands = np.array([recording.staged.spectrum for recording in recordings], np.float64)
    return np.column_stack([levels, bands / np.sqrt(bands.shape[1])])
