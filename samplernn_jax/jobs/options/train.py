"""Options of training beside the recipe, which holds what is trained and how."""

import dataclasses

from samplernn_jax.jobs.options.base import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Where to train, and from where; the help of each field says what it is.

    Raises:
        ValueError: a field breaks its rule.
    """

    workdir: str | None = option(
        "Folder of the run. Default: runs/ and the name of the recipe.", default=None, is_path=True
    )
    plan: bool = option(
        "Say in about a minute what the training would take over batch sizes, and do not train.",
        default=False,
    )
    from_step: int | None = option(
        "Go on from this checkpoint and remove the later ones. Default: the latest.", default=None
    )
