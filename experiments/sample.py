"""Generates audio from a trained model.

    python -m experiments.sample --workdir=runs/demo --output=more --num_sequences=4 --duration_s=5

Takes the best checkpoint, or the one of --step, and needs nothing else: the run describes itself.
Writes WAV files and their spectrograms. The same seed gives the same audio; a temperature below 1
makes it calmer, above 1 wilder.
"""

from pathlib import Path

import jax
from absl import flags

from experiments import cli
from samplernn_jax.config import MAX_SEED
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.output import write_sequences

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the audio.", required=True)
_NUM_SEQUENCES = flags.DEFINE_integer("num_sequences", 4, "How many.")
_DURATION_S = flags.DEFINE_float("duration_s", 5.0, "Length of each in seconds.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.95, "0 always takes the likeliest sample.")
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the random numbers.", lower_bound=0, upper_bound=MAX_SEED - 1
)
_STEP = flags.DEFINE_integer("step", None, "Checkpoint to take. Default: the best.")


def main() -> None:
    """Generates, writes and lists the files."""
    generator = Generator.from_workdir(_WORKDIR.value, _STEP.value)
    sequences = generator.generate(
        jax.random.key(_SEED.value), _NUM_SEQUENCES.value, _DURATION_S.value, _TEMPERATURE.value
    )
    prefix = f"step_{generator.step}_temperature_{_TEMPERATURE.value:g}_seed_{_SEED.value}"
    paths = write_sequences(Path(_OUTPUT.value), sequences, generator.sample_rate_hz, prefix)
    print(*paths, sep="\n")


if __name__ == "__main__":
    cli.run(main, __doc__)
