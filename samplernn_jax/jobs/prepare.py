"""Preparing a dataset from recordings, and describing one."""

from collections.abc import Callable, Iterator
from pathlib import Path

from samplernn_jax.checks import require
from samplernn_jax.data.dataset import Dataset, damaged_files, read_info
from samplernn_jax.jobs.options.prepare import PrepareOptions, expanded
from samplernn_jax.preparation import description, facts, recordings
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.info import PreparedInfo
from samplernn_jax.preparation.named import catalog
from samplernn_jax.preparation.recordings import Found
from samplernn_jax.preparation.settings import BuildSettings
from samplernn_jax.preparation.staging import OnProgress
from samplernn_jax.storage import check_folder


def prepare(options: PrepareOptions, tell: Callable[[str], None], progress: OnProgress) -> str:
    """Makes the dataset that the options describe; does nothing if it exists already.

    Args:
        options: with `output`, and `input` or `dataset`.
        tell: receives a line about the source of a named dataset.
        progress: called with the progress of the work.

    Returns:
        A description of the dataset, in lines for people.

    Raises:
        ValueError: an option breaks its rule, the recordings cannot be found or used, or something
            else is at `output`.
        OSError: the disk is full, for instance.
    """
    if options.output is None:
        raise ValueError("output: must be given")
    output = expanded(options.output)
    check_folder("output", output)
    require(
        output.resolve() not in [expanded(path).resolve() for path in options.input],
        f"output={output}: must not be the input folder",
    )
    if options.dataset is None:
        found, settings = _own(options, output)
    else:
        found, settings = _named(options, options.dataset, tell, progress)
    info = build_dataset(found, output, settings, options.workers, progress)
    return description.table(info, facts.read(output))


def describe(path: Path) -> Iterator[str]:
    """Describes a dataset part by part, and draws some clips into its describe.png.

    Raises:
        ValueError: there is no dataset, or a file of it has changed.
    """
    dataset, info = Dataset.open(path), read_info(path, PreparedInfo)
    described = facts.read(path)
    yield description.table(info, described) + "\n"
    yield description.histogram(info) + "\n"
    yield description.loudness(info, described) + "\n"
    damaged = damaged_files(path)
    require(
        not damaged,
        f"{path}: {', '.join(damaged)} changed after preparation; prepare the dataset again",
    )
    yield "All checksums match."
    picture = path / "describe.png"
    description.picture(picture, dataset)
    yield f"{picture} shows some clips."


def _own(options: PrepareOptions, output: Path) -> tuple[Found, BuildSettings]:
    """Returns the user's recordings, and their settings."""
    found = recordings.find([expanded(path) for path in options.input], leave_out=output)
    if options.split_by == "folder":
        split = recordings.split_by_folder(found.recordings)
    elif options.valid_list is not None and options.test_list is not None:
        lists = {"valid": expanded(options.valid_list), "test": expanded(options.test_list)}
        split = recordings.split_by_lists(found.recordings, lists)
    else:
        return found, options.settings(BuildSettings(), options.split_by)
    return found._replace(recordings=split), options.settings(BuildSettings(), "given")


def _named(
    options: PrepareOptions, name: str, tell: Callable[[str], None], progress: OnProgress
) -> tuple[Found, BuildSettings]:
    """Returns the recordings of a named dataset, and its settings with those of the user."""
    dataset = catalog.DATASETS[name]
    tell(f"{name}: {dataset.about}. From {dataset.source}; licence: {dataset.licence}.")
    folder = expanded(options.input[0]) if options.input else None
    found = catalog.obtain(name, folder, expanded(options.cache), progress)
    return found, options.settings(dataset.settings, dataset.settings.split_by)
