"""The engines by name."""

from samplernn_jax.sampling.engines.interface import Prepare
from samplernn_jax.sampling.engines.scan import ScanEngine

ENGINES: dict[str, Prepare] = {"scan": ScanEngine}
