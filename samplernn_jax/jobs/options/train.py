"""Options of training, beside the recipe, which says what is trained and how."""

import dataclasses

from samplernn_jax.jobs.options.base import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Where to train, and from which checkpoint; each field's help describes it.

    Raises:
        ValueError: a field breaks its rule.
    """

    workdir: str | None = option(
        "Folder of the run. Default: runs/ and the name of the recipe.", default=None, is_path=True
    )
    plan: bool = option(
        "Show, in about a minute, the memory and time of training at several batch sizes; do not "
        "train.",
        default=False,
    )
    from_step: int | None = option(
        "Step of the checkpoint to go on from; later ones are removed. Default: the latest.",
        default=None,
    )
