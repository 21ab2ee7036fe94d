"""Options of importing another implementation's checkpoint."""

import dataclasses

from samplernn_jax.jobs.options.base import Options, option
from samplernn_jax.models.options import Q_TYPES


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportOptions(Options):
    """What to import; each field's help describes it.

    Raises:
        ValueError: a field breaks its rule.
    """

    source: str = option(
        "Implementation that wrote the checkpoint; theano is the original.", choices=("theano",)
    )
    path: str = option("File of the checkpoint.", is_path=True)
    workdir: str = option("Folder of the new run.", is_path=True)
    q_type: str = option(
        "Quantization that the model was trained with.", default="linear", choices=Q_TYPES
    )
    sample_rate: int = option("Sample rate of the audio in Hz.", default=16_000, least=1)
    independent_preds: bool = option(
        "Keep the independent predictions of the original's top tier.", default=False
    )
    learn_h0: bool | None = option(
        "Whether further training changes h0. Default: yes where h0 is not zero.", default=None
    )
