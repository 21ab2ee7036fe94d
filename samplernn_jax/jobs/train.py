"""Training a recipe's model, or an imported one."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samplernn_jax.checks import require
from samplernn_jax.config import ExperimentConfig
from samplernn_jax.processes import is_first_process
from samplernn_jax.runs.workdir import Workdir


def experiment(
    values: Mapping[str, Any], given: Mapping[str, Any], path: Path, report: Callable[[str], None]
) -> ExperimentConfig:
    """Returns the experiment of a recipe, with the model imported into the workdir, if any.

    The recipe's own model is used in new workdirs only. Fields that the user has set are obeyed
    or refused, never ignored.

    Args:
        values: the values of the recipe, with those that the user has set.
        given: the values that the user has set, by names such as "model.dim".
        path: the workdir; need not exist.
        report: receives a line if the model is not the recipe's.

    Raises:
        ValueError: a value breaks its rule, or does not fit the imported model.
    """
    workdir = Workdir(path)
    if workdir.imported_model is None:
        return ExperimentConfig.from_mapping(values)
    require(
        bool(values["data"]["path"]),
        "config.data.path='': must name a dataset to train the imported model on, as the "
        f"synthetic corpus does not have the sample rate of {path}",
    )
    of_model = {
        name.removeprefix("model."): value
        for name, value in given.items()
        if name.startswith("model.")
    }
    imported = workdir.imported_model_with(of_model)
    model = {"architecture": imported.architecture, **dataclasses.asdict(imported)}
    if model != values["model"] and is_first_process():
        report("Training the model that was imported into the workdir, not the recipe's.")
    return ExperimentConfig.from_mapping({**values, "model": model})
