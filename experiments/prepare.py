"""Makes a dataset out of recordings.

    python -m experiments.prepare --input=my_recordings --output=datasets/mine

Takes every audio file below the folder, of any length, rate and channel count that libsndfile or
FFmpeg reads (wav, flac, ogg, mp3, m4a, wma, the sound of mp4 and webm, ...), mixes it down to
mono, resamples it, leaves silence out and cuts the rest into clips. One gain is applied to all
recordings, so that loud and quiet keep their relation. Whole recordings are held out for validation
and test where there are at least ten of them, single clips otherwise. What cannot be read is
reported and passed over.

Datasets of the field are downloaded, checked and split as the papers do:

    python -m experiments.prepare --dataset=sc09 --output=datasets/sc09

A stopped preparation or download goes on when the same command is run again. To see again what
went in, and to check that nothing was damaged since:

    python -m experiments.prepare --describe=datasets/mine
"""

import dataclasses
import sys
from pathlib import Path

from absl import flags
from tqdm import tqdm

from experiments import cli
from samplernn_jax.data.dataset import Dataset, damaged_files, read_info
from samplernn_jax.preparation import description, facts, recordings
from samplernn_jax.preparation.build import build_dataset
from samplernn_jax.preparation.info import PreparedInfo
from samplernn_jax.preparation.named import catalog
from samplernn_jax.preparation.settings import GAIN_SCOPES, GAINS, BuildSettings
from samplernn_jax.preparation.staging import OnProgress
from samplernn_jax.storage import check_folder

_DEFAULT = BuildSettings()

_INPUT = flags.DEFINE_multi_string(
    "input",
    [],
    "Folder of recordings, searched to any depth; or a recording; or a list, a .txt or .m3u file "
    "with a path on each line. May be given several times.",
)
_DATASET = flags.DEFINE_enum(
    "dataset",
    None,
    sorted(catalog.DATASETS),
    "A dataset that goes by its name. "
    + " ".join(f"{name}: {it.about} ({it.licence})." for name, it in catalog.DATASETS.items())
    + " It is downloaded unless --input names the folder where it is. Flags that are not given "
    "are set as its users do.",
)
_CACHE = flags.DEFINE_string(
    "cache", "~/.cache/samplernn_jax", "Folder for downloads of --dataset."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the new dataset.")
_DESCRIBE = flags.DEFINE_string(
    "describe",
    None,
    "Folder of a dataset to print instead: what went in, a histogram of amplitudes, how loud "
    "each recording is, whether all checksums hold. A picture of some clips is written into it as "
    "describe.png.",
)
_WORKERS = flags.DEFINE_integer(
    "workers", 0, "Recordings decoded at once; 0 for one on each core.", lower_bound=0
)
_SPLIT_BY = flags.DEFINE_enum(
    "split_by",
    "auto",
    ["auto", "recording", "clip", "folder"],
    "What is held out: whole recordings, single clips, or what lies in the folders valid and test "
    "of the input. auto: recordings where there are at least ten, else clips.",
)
_VALID_LIST = flags.DEFINE_string(
    "valid_list",
    None,
    "Text file that names the recordings to validate with, one on each line, relative to the "
    "input. Needs --test_list; all others are trained on.",
)
_TEST_LIST = flags.DEFINE_string("test_list", None, "Likewise for test.")

flags.DEFINE_integer("sample_rate", _DEFAULT.sample_rate_hz, "Sample rate of the dataset in Hz.")
flags.DEFINE_integer(
    "channel", _DEFAULT.channel, "Channel to take, from 1; 0 mixes all channels down to mono."
)
flags.DEFINE_boolean("remove_dc", _DEFAULT.remove_dc, "Subtract the mean of each recording.")
flags.DEFINE_enum(
    "gain",
    _DEFAULT.gain,
    GAINS,
    "peak: the loudest sample becomes 1, but for clicks and the like, which are clipped and warned "
    "of. loudness: to --loudness_lufs, but never so far that a sample exceeds 1, likewise. none: "
    "amplitudes stay.",
)
flags.DEFINE_enum(
    "gain_per",
    _DEFAULT.gain_per,
    GAIN_SCOPES,
    "One gain for the whole dataset keeps loud and quiet apart; one for each recording evens "
    "them out.",
)
flags.DEFINE_float(
    "loudness_lufs", _DEFAULT.loudness_lufs, "Target of --gain=loudness (ITU-R BS.1770)."
)
flags.DEFINE_boolean(
    "drop_silence", _DEFAULT.drop_silence, "Leave out silence at the ends, and long silence inside."
)
flags.DEFINE_float(
    "silence_db", _DEFAULT.silence_db, "What is quieter, in dB below full scale, is silence."
)
flags.DEFINE_float(
    "max_silence_s", _DEFAULT.max_silence_s, "Longest silence kept inside a recording, in seconds."
)
flags.DEFINE_float("clip_s", _DEFAULT.clip_s, "Length of a clip in seconds.")
flags.DEFINE_float(
    "clip_overlap_s", _DEFAULT.clip_overlap_s, "Seconds that a clip shares with the one before."
)
flags.DEFINE_float("min_clip_s", _DEFAULT.min_clip_s, "Shorter clips are left out.")
flags.DEFINE_float(
    "held_out", _DEFAULT.held_out, "Fraction of the audio for validation, and as much for test."
)
flags.DEFINE_integer("seed", _DEFAULT.seed, "Seed of the choice of what is held out.")


_SETTINGS_FLAGS = {
    field.name: field.name.removesuffix("_hz")
    for field in dataclasses.fields(BuildSettings)
    if field.name != "split_by"
}


def main() -> None:
    """Prepares a dataset, or describes one."""
    cli.check_paths("input", "output", "describe", "cache", "valid_list", "test_list")
    if _DESCRIBE.value:
        _describe(_path(_DESCRIBE.value))
        return
    if not (_OUTPUT.value and (_INPUT.value or _DATASET.value)):
        raise ValueError("--output and --input (or --dataset) must be given, or --describe")
    output = _path(_OUTPUT.value)
    check_folder("output", output)
    if output.resolve() in [_path(value).resolve() for value in _INPUT.value]:
        raise ValueError(f"output={output}: must be another folder than the input")
    with _Bars() as progress:
        prepare = _named if _DATASET.value else _recordings
        found, settings = prepare(output, progress)
        info = build_dataset(found, output, settings, _WORKERS.value, progress)
    print(f"{output} holds")
    print(description.table(info, facts.read(output)))
    print(f"Train on it with --config.data.path={output}")


def _recordings(output: Path, progress: OnProgress) -> tuple[recordings.Found, BuildSettings]:
    """What the user has, and how it is to be prepared."""
    del progress
    given = {name: flags.FLAGS[flag].value for name, flag in _SETTINGS_FLAGS.items()}
    found = recordings.find([_path(value) for value in _INPUT.value], leave_out=output)
    if _SPLIT_BY.value == "folder":
        split = recordings.split_by_folder(found.recordings)
    elif _VALID_LIST.value or _TEST_LIST.value:
        split = recordings.split_by_lists(found.recordings, _lists())
    else:
        return found, BuildSettings(**given, split_by=_SPLIT_BY.value)
    return found._replace(recordings=split), BuildSettings(**given, split_by="given")


def _lists() -> dict[str, Path]:
    if not (_VALID_LIST.value and _TEST_LIST.value):
        raise ValueError("--valid_list and --test_list must be given together")
    if _SPLIT_BY.value != "auto":
        raise ValueError(f"split_by={_SPLIT_BY.value}: must be left out where lists are given")
    return {"valid": _path(_VALID_LIST.value), "test": _path(_TEST_LIST.value)}


def _path(value: str) -> Path:
    """A path as the user means it: no shell expands ~ after the = of a flag."""
    return Path(value).expanduser()


def _named(output: Path, progress: OnProgress) -> tuple[recordings.Found, BuildSettings]:
    """A dataset that goes by its name, and how it is prepared where flags do not say otherwise."""
    del output
    name, dataset = _DATASET.value, catalog.DATASETS[_DATASET.value]
    for flag in ("split_by", "valid_list", "test_list"):
        if flags.FLAGS[flag].present:
            raise ValueError(f"{flag}: must be left out with --dataset={name}, which has a split")
    if len(_INPUT.value) > 1:
        raise ValueError(f"input={_INPUT.value}: must be one folder with --dataset={name}")
    given = {
        setting: flags.FLAGS[flag].value
        for setting, flag in _SETTINGS_FLAGS.items()
        if flags.FLAGS[flag].present
    }
    settings = dataclasses.replace(dataset.settings, **given)
    print(f"{name}: {dataset.about}. From {dataset.source}; licence: {dataset.licence}.")
    folder = _path(_INPUT.value[0]) if _INPUT.value else None
    return catalog.obtain(name, folder, _path(_CACHE.value), progress), settings


def _describe(path: Path) -> None:
    dataset, info = Dataset.open(path), read_info(path, PreparedInfo)
    described = facts.read(path)
    for part in (
        description.table(info, described),
        description.histogram(info),
        description.loudness(info, described),
    ):
        print(part, end="\n\n")
    damaged = damaged_files(path)
    if damaged:
        raise ValueError(
            f"{path}: {', '.join(damaged)} changed since it was written; prepare it again"
        )
    print("All checksums hold.")
    picture = path / "describe.png"
    description.picture(picture, dataset)
    print(f"Some clips are drawn in {picture}.")


class _Bars:
    """A progress bar for each part of the work, on a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._what = ""

    def __enter__(self) -> "_Bars":
        return self

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._bar is None or self._what != what:
            self.__exit__()
            self._what = what
            self._bar = tqdm(desc=what, total=total, disable=None, file=sys.stderr)
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


if __name__ == "__main__":
    cli.run(main, __doc__)
