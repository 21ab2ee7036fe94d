"""Options of evaluation."""

import dataclasses
import math

from samplernn_jax.checks import require, require_32_bits
from samplernn_jax.jobs.options.base import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """What to evaluate on; each field's help describes it.

    Raises:
        ValueError: a field breaks its rule, or has no effect with the others.
    """

    workdir: str = option("Folder of the run.", is_path=True)
    split: str = option("Split to evaluate on.", default="test", choices=("train", "valid", "test"))
    step: int | None = option("Step of the checkpoint. Default: the best.", default=None)
    data_path: str | None = option(
        "Dataset folder. Default: the one that the run was trained on.", default=None, is_path=True
    )
    normalization: str | None = option(
        "How to read the dataset. Default: as in training.",
        default=None,
        choices=("dataset", "legacy"),
    )
    batch_size: int | None = option(
        "Rows of a batch. Default: as in training.", default=None, least=1
    )
    seq_len: int | None = option(
        "Targets of a segment. Default: as in training.", default=None, least=1
    )
    average: str = option(
        "samples: the mean over all samples. batches: the mean of the means over each batch of "
        "segments, as in the original and the paper; it depends on batch_size and seq_len.",
        default="samples",
        choices=("samples", "batches"),
    )
    audio: tuple[str, ...] = option(
        "Audio file to score instead. May be given several times.", default=(), is_path=True
    )
    audio_gain: float = option(
        "Factor for the level of --audio, such as the gain of the dataset.", default=1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_unless(
            self.audio == (),
            "does not go with --audio",
            *("split", "data_path", "normalization", "batch_size", "seq_len", "average"),
        )
        self.refuse_unless(self.audio != (), "needs --audio", "audio_gain")
        require(
            0 < self.audio_gain < math.inf,
            f"audio_gain={self.audio_gain}: must be greater than 0, and finite",
        )
        require_32_bits("audio_gain", self.audio_gain)
