"""Existing datasets: whether one has the wanted settings and recordings."""

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from samplernn_jax.checks import require
from samplernn_jax.data.dataset import info_file, read_info
from samplernn_jax.preparation.info import PreparedInfo
from samplernn_jax.preparation.recordings import Recording
from samplernn_jax.preparation.settings import BuildSettings


def recordings_digest(recordings: Iterable[Recording]) -> str:
    """Returns a digest that differs if two datasets were made from different recordings."""
    names = sorted(f"{r.name}\n{r.fingerprint}\n{r.split}" for r in recordings)
    return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()


def matching_info(output: Path, settings: BuildSettings, digest: str) -> dict[str, Any]:
    """Returns the content of dataset.json, if the dataset has these settings and recordings.

    Args:
        output: the existing folder.
        settings: the settings of the wanted dataset.
        digest: the `recordings_digest` of the wanted recordings.

    Raises:
        ValueError: the folder is a different dataset, or not a dataset.
    """
    advice = "remove it or choose another name"
    require(info_file(output).exists(), f"{output}: exists already; {advice}")
    info, wanted = read_info(output, PreparedInfo), dataclasses.asdict(settings)
    for name, value in info["settings"].items():
        require(
            value == wanted.get(name),
            f"{output}: exists already, made with {name}={value}, not {wanted.get(name)}; {advice}",
        )
    require(
        info["source_digest"] == digest,
        f"{output}: exists already, made from other recordings; {advice}",
    )
    return info
