"""Whether what is held out sounds like what is trained on."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from scipy.spatial import KDTree

from samplernn_jax.preparation.leveling import Leveled

_FEW = 3  # recordings; the difference of fewer says nothing about what is usual
_UNLIKE_DB = 6.0
_UNUSUAL = 2.0
_QUIETEST = 1e-6

Distance = float


def unlike(held_out: Sequence[Leveled], trained: Sequence[Leveled]) -> list[tuple[str, Distance]]:
    """The held-out recordings that resemble none of those that are trained on.

    Two recordings are as far from each other as their levels and their long-term spectra are, in
    dB: the root of the squared difference of the levels (after the gain) and the mean squared
    difference of the bands. One is unlike the others if its distance to the nearest of them is more
    than 6 dB, and more than twice what 95 % of them have to their own nearest.

    Returns:
        Name and distance of each, the furthest first.
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
    """The level and the bands, so that their euclidean distance is that of `unlike`."""
    levels = 20 * np.log10([max(recording.rms, _QUIETEST) for recording in recordings])
    bands = np.array([recording.staged.spectrum for recording in recordings], np.float64)
    return np.column_stack([levels, bands / np.sqrt(bands.shape[1])])
