"""Training, of an imported model too."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samplernn_jax.config import ExperimentConfig
from samplernn_jax.processes import is_first_process
from samplernn_jax.runs.workdir import Workdir


def experiment(
    values: Mapping[str, Any], given: Mapping[str, Any], path: Path, report: Callable[[str], None]
) -> ExperimentConfig:
    """The experiment of a recipe, with the model that was imported into the workdir, if one was.

    The recipe's model is for a new workdir. Fields that the user has set by hand are obeyed, or
    refused.

    Args:
        values: of the recipe, with what the user has set.
        given: what the user has set, by names such as "model.dim".
        path: the workdir; need not exist.
        report: told that the model is another than the recipe's.

    Raises:
        ValueError: a value breaks its rule, or does not fit the imported model.
    """
    workdir = Workdir(path)
    if workdir.imported_model is None:
        return ExperimentConfig.from_mapping(values)
    if not values["data"]["path"]:
        raise ValueError(
            "config.data.path='': must name a dataset to train the imported model of "
            f"{path} with, as the synthetic corpus has another sample rate"
        )
    of_model = {
        name.removeprefix("model."): value
        for name, value in given.items()
        if name.startswith("model.")
    }
    imported = workdir.imported_model_with(of_model)
    model = {"architecture": imported.architecture, **dataclasses.asdict(imported)}
    if model != values["model"] and is_first_process():
        report("Training the imported model of the workdir; the recipe's is not used.")
    return ExperimentConfig.from_mapping({**values, "model": model})
