"""SampleRNN in JAX and Flax: learns to generate raw audio from a folder of recordings."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samplernn_jax import audio, interop
    from samplernn_jax.config import ModelConfig
    from samplernn_jax.losses import bits_per_sample
    from samplernn_jax.models.samplernn.module import SampleRNN
    from samplernn_jax.models.wavenet import module as wavenet
    from samplernn_jax.sampling.generator import Generator
    from samplernn_jax.sampling.priming import Prompt
    from samplernn_jax.sampling.schedules import Schedule

__all__ = [
    "Generator",
    "ModelConfig",
    "Prompt",
    "SampleRNN",
    "Schedule",
    "audio",
    "bits_per_sample",
    "interop",
    "wavenet",
]

_HOMES = {
    "Generator": "sampling.generator",
    "ModelConfig": "config",
    "Prompt": "sampling.priming",
    "SampleRNN": "models.samplernn.module",
    "Schedule": "sampling.schedules",
    "bits_per_sample": "losses",
}
_MODULES = {"audio": "audio", "interop": "interop", "wavenet": "models.wavenet.module"}


def __getattr__(name: str) -> Any:
    """Imports a public name or a module on first use, so that `--help` need not wait for jax."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error


def __dir__() -> list[str]:
    return __all__
