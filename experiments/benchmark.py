"""Measures how fast this machine is at what training consists of.

    python -m experiments.benchmark --what=data --hours=100

writes a synthetic dataset of 100 hours to a temporary folder (TMPDIR says where; it takes 115 MB
an hour), opens it and reads training segments, as training does. With --data_path it reads a
dataset of yours. The last line is a JSON object.
"""

import json
import tempfile
from pathlib import Path

from absl import flags

from experiments import cli
from samplernn_jax.config import ModelConfig
from samplernn_jax.data import benchmark

_WHAT = flags.DEFINE_enum("what", "data", ["data"], "data: opening and reading a dataset.")
_DATA_PATH = flags.DEFINE_string("data_path", None, "Dataset to read, instead of a synthetic one.")
_HOURS = flags.DEFINE_float("hours", 1.0, "Hours of the synthetic dataset.", lower_bound=0.01)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Rows of a segment.", lower_bound=1)
_SEQ_LEN = flags.DEFINE_integer("seq_len", 512, "Targets of a segment.", lower_bound=8)
_SECONDS = flags.DEFINE_float("seconds", 5.0, "How long to read.", lower_bound=0.1)


def main() -> None:
    """Measures, then prints the figures."""
    with tempfile.TemporaryDirectory() as folder:
        if _DATA_PATH.value is None:
            path = Path(folder) / "dataset"
            print(f"Writing {_HOURS.value:g} hours of audio.")
            benchmark.make_dataset(path, _HOURS.value)
        else:
            path = Path(_DATA_PATH.value)
        model = ModelConfig(frame_sizes=(2, 8))
        result = benchmark.measure(path, _BATCH_SIZE.value, _SEQ_LEN.value, model, _SECONDS.value)
    print(
        f"{result['hours']:.1f} hours opened in {result['open_s']:.3f} s; "
        f"{result['samples_per_s'] / 1e6:.1f} million samples per second, "
        f"{result['padding']:.2%} of the targets are padding."
    )
    print(json.dumps({"results": [{"what": _WHAT.value, **result}]}))


if __name__ == "__main__":
    cli.run(main, __doc__)
