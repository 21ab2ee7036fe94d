"""Opening a dataset of either format."""

from pathlib import Path

from samplernn_jax.config import DataConfig
from samplernn_jax.data.dataset import Dataset
from samplernn_jax.data.legacy import open_legacy


def open_dataset(path: Path, config: DataConfig) -> Dataset:
    """Opens a dataset folder, or a folder of the original's files; see `DataConfig.normalization`.

    Raises:
        ValueError: the folder is not such a dataset; the message names it.
    """
    if config.normalization == "legacy":
        return open_legacy(path, config)
    return Dataset.open(path)
