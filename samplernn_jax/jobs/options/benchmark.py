"""Options of the speed measurements."""

import dataclasses

from samplernn_jax.jobs.options.base import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """What to measure; each field's help describes it.

    Raises:
        ValueError: a field breaks its rule, or has no effect with the others.
    """

    what: str = option(
        "train: training steps. data: opening and reading a dataset. sample: sampling.",
        default="train",
        choices=("train", "data", "sample"),
    )
    batch_size: int | None = option(
        "Rows of a batch, or sequences for sample. Default: the recipe's, or 128; 1 and 16 for "
        "sample.",
        default=None,
        least=1,
    )
    seq_len: int | None = option(
        "Targets of a segment. Default: the recipe's, or 512.", default=None, least=1
    )
    seconds: float = option(
        "Duration of each measurement in seconds.", default=5.0, least=0.1, most=3600
    )
    recipe: tuple[str, ...] | None = option(
        "For train and sample: the name of a recipe in configs/. May be given several times. "
        "Default: music_2tier and music_3tier for train, music_3tier for sample.",
        default=None,
    )
    data_path: str | None = option(
        "For data: a dataset to read, instead of a synthetic one.", default=None, is_path=True
    )
    hours: float = option(
        "For data: hours of the synthetic dataset.", default=1.0, least=0.01, most=10_000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_unless(self.what == "data", "needs --what=data", "data_path", "hours")
        self.refuse_unless(self.what != "data", "does not go with --what=data", "recipe")
        self.refuse_unless(self.what != "sample", "does not go with --what=sample", "seq_len")
