"""Whether a dataset that is already there is the one that is asked for."""

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
    """Differs where two datasets were made from different recordings."""
    names = sorted(f"{r.name}\n{r.fingerprint}\n{r.split}" for r in recordings)
    return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()


def matching_info(output: Path, settings: BuildSettings, digest: str) -> dict[str, Any]:
    """The content of dataset.json, if the dataset has these settings and recordings.

    Args:
        output: what exists already.
        settings: the settings of the dataset that is asked for.
        digest: `recordings_digest` of its recordings.

    Raises:
        ValueError: it is another dataset, or none.
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
