"""Rules and options that the configurations of all architectures share."""

import dataclasses
from typing import Any

from samplernn_jax.checks import require, require_one_of

DTYPES = ("float32", "bfloat16")
MATMUL_PRECISIONS = ("highest", "default")
Q_TYPES = ("linear", "mu-law", "a-law")
MAX_Q_LEVELS = 2**16
MAX_LAYERS = 200


@dataclasses.dataclass(frozen=True)
class Products:
    """The precision of a model's matrix products.

    Attributes:
        dtype: the type of the factors, "float32" or "bfloat16"; results are float32 in any case.
        precision: the precision of float32 factors, "highest" or "default".
    """

    dtype: str = "float32"
    precision: str = "highest"


def check_quantization(config: Any) -> None:
    """Raises ValueError where `q_levels` and `q_type` do not fit."""
    require_one_of(config, "q_type", Q_TYPES)
    require(config.q_levels >= 2, f"q_levels={config.q_levels}: must be at least 2")
    require(
        config.q_levels <= MAX_Q_LEVELS,
        f"q_levels={config.q_levels}: must be at most {MAX_Q_LEVELS}, as audio has 16 bits",
    )
    require(
        config.q_type == "linear" or config.q_levels == 256,
        f"q_levels={config.q_levels}: must be 256 with q_type={config.q_type!r}",
    )


def check_num_layers(field: str, num_layers: int) -> None:
    """Raises ValueError for more layers than can be compiled in reasonable time.

    Args:
        field: the field that sets the number, with its value.
        num_layers: the number of layers in all tiers or blocks.
    """
    require(
        num_layers <= MAX_LAYERS,
        f"{field}: makes {num_layers} layers in all tiers or blocks; at most {MAX_LAYERS} are "
        "allowed, as each is compiled on its own",
    )
