"""Makes a dataset out of a folder of recordings.

    python -m experiments.prepare --input=my_recordings --output=datasets/mine

Takes every audio file below the folder, of any length, rate and channel count that libsndfile
reads (wav, flac, ogg, mp3, aiff, ...), mixes it down to mono, resamples it, and cuts it into
clips. One gain is applied to all recordings, so that loud and quiet keep their relation. Whole
recordings are held out for validation and test where there are at least ten of them, single clips
otherwise. A file that cannot be read is reported and passed over.
"""

from pathlib import Path

from absl import flags
from tqdm import tqdm

from experiments import cli
from samplernn_jax.data.build import BuildSettings, build_dataset, find_recordings

_DEFAULT = BuildSettings()

_INPUT = flags.DEFINE_string("input", None, "Folder of recordings.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the new dataset.", required=True)
_SAMPLE_RATE = flags.DEFINE_integer(
    "sample_rate", _DEFAULT.sample_rate_hz, "Sample rate of the dataset in Hz."
)
_CLIP_S = flags.DEFINE_float("clip_s", _DEFAULT.clip_s, "Length of a clip in seconds.")
_HELD_OUT = flags.DEFINE_float(
    "held_out", _DEFAULT.held_out, "Fraction of the audio for validation, and as much for test."
)
_SEED = flags.DEFINE_integer("seed", _DEFAULT.seed, "Seed of the choice of what is held out.")


def main() -> None:
    """Prepares, then says what went in."""
    settings = BuildSettings(_SAMPLE_RATE.value, _CLIP_S.value, _HELD_OUT.value, _SEED.value)
    recordings = find_recordings(Path(_INPUT.value), settings.sample_rate_hz)
    progress = tqdm(recordings, unit="recording", disable=None)
    info = build_dataset(progress, Path(_OUTPUT.value), settings)
    for entry in info["rejected"]:
        print(f"passed over {entry['recording']}: {entry['reason']}")
    print(
        f"{len(recordings) - len(info['rejected'])} of {len(recordings)} recordings went into "
        f"{_OUTPUT.value}, {len(info['rejected'])} were passed over."
    )
    for name, split in info["splits"].items():
        minutes = split["num_samples"] / settings.sample_rate_hz / 60
        print(f"  {name:5}  {minutes:8.1f} minutes in {split['num_clips']} clips")
    if info["split_by"] == "clip":
        print("  Few recordings: single clips are held out, so valid and test are close to train.")


if __name__ == "__main__":
    cli.run(main, __doc__)
