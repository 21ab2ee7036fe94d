"""Options of preparing a dataset."""

import dataclasses
from pathlib import Path

from samplernn_jax.checks import require
from samplernn_jax.jobs.options.base import Options, option
from samplernn_jax.preparation.named.catalog import DATASETS
from samplernn_jax.preparation.settings import GAIN_SCOPES, GAINS, BuildSettings

_DEFAULT = BuildSettings()

_ABOUT_DATASETS = " ".join(
    f"{name}: {dataset.about} ({dataset.licence})." for name, dataset in DATASETS.items()
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareOptions(Options):
    """What to make a dataset from and how, or which one to describe; see each field's help.

    Raises:
        ValueError: a field breaks its rule, or the fields do not go together.
    """

    input: tuple[str, ...] = option(
        "Folder of recordings, searched to any depth; or a recording; or a list, a .txt or .m3u "
        "file with a path on each line. May be given several times.",
        default=(),
        is_path=True,
    )
    dataset: str | None = option(
        f"Named dataset. {_ABOUT_DATASETS} It is downloaded unless --input names its folder. Flags "
        "that are not given get the dataset's usual values.",
        default=None,
        choices=sorted(DATASETS),
    )
    cache: str = option(
        "Folder for downloads of --dataset.", default="~/.cache/samplernn_jax", is_path=True
    )
    output: str | None = option("Folder of the new dataset.", default=None, is_path=True)
    describe: str | None = option(
        "Folder of a dataset to describe instead: what went in, a histogram of amplitudes, the "
        "loudness of the recordings, and whether all checksums match. A picture of some clips, "
        "describe.png, is written into it.",
        default=None,
        is_path=True,
    )
    workers: int = option("Recordings decoded at once; 0 for one per core.", default=0, least=0)
    split_by: str = option(
        "What is held out: whole recordings, single clips, or the recordings in the input's "
        "folders valid and test. auto: recordings where there are at least ten, otherwise clips.",
        default="auto",
        choices=("auto", "recording", "clip", "folder"),
    )
    valid_list: str | None = option(
        "Text file that names the recordings to validate with, one on each line, relative to the "
        "input. Needs --test_list; all others are trained on.",
        default=None,
        is_path=True,
    )
    test_list: str | None = option("The same for test.", default=None, is_path=True)
    sample_rate: int = option("Sample rate of the dataset in Hz.", default=_DEFAULT.sample_rate_hz)
    channel: int = option(
        "Channel to take, from 1; 0 mixes all channels down to mono.", default=_DEFAULT.channel
    )
    remove_dc: bool = option("Subtract the mean of each recording.", default=_DEFAULT.remove_dc)
    gain: str = option(
        "peak: the loudest sample becomes 1; clicks do not count, and are clipped with a warning. "
        "loudness: to --loudness_lufs, or less where samples other than clicks would exceed 1. "
        "none: amplitudes stay as they are.",
        default=_DEFAULT.gain,
        choices=GAINS,
    )
    gain_per: str = option(
        "One gain for the whole dataset keeps the relative loudness of recordings; one for each "
        "recording evens them out.",
        default=_DEFAULT.gain_per,
        choices=GAIN_SCOPES,
    )
    loudness_lufs: float = option(
        "Target of --gain=loudness (ITU-R BS.1770).", default=_DEFAULT.loudness_lufs
    )
    drop_silence: bool = option(
        "Leave out silence at the ends, and long silence inside.", default=_DEFAULT.drop_silence
    )
    silence_db: float = option(
        "Audio below this level, in dB of full scale, is silence.", default=_DEFAULT.silence_db
    )
    max_silence_s: float = option(
        "Longest silence kept inside a recording, in seconds.", default=_DEFAULT.max_silence_s
    )
    clip_s: float = option("Length of a clip in seconds.", default=_DEFAULT.clip_s)
    clip_overlap_s: float = option(
        "Seconds that a clip shares with the one before.", default=_DEFAULT.clip_overlap_s
    )
    min_clip_s: float = option(
        "Clips shorter than this, in seconds, are left out.", default=_DEFAULT.min_clip_s
    )
    held_out: float = option(
        "Fraction of the audio held out for validation, and again for test.",
        default=_DEFAULT.held_out,
    )
    seed: int = option("Seed of the random choice of held-out audio.", default=_DEFAULT.seed)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.describe is not None:
            return
        has_input = self.input != () or self.dataset is not None
        require(
            self.output is not None and has_input,
            "--output and --input (or --dataset) must be given, or --describe",
        )
        if self.dataset is not None:
            self._check_named()
            return
        lists = (self.valid_list, self.test_list)
        require(
            lists == (None, None) or None not in lists,
            "--valid_list and --test_list must be given together",
        )
        require(
            lists == (None, None) or self.split_by == "auto",
            f"split_by={self.split_by}: must be left out where lists are given",
        )

    def _check_named(self) -> None:
        """Refuses fields that a named dataset determines."""
        for name in ("split_by", "valid_list", "test_list"):
            require(
                not self.is_given(name),
                f"{name}: must be left out with --dataset={self.dataset}, which has a split",
            )
        require(
            len(self.input) <= 1,
            f"input={list(self.input)}: must be one folder with --dataset={self.dataset}",
        )

    def settings(self, base: BuildSettings, split_by: str) -> BuildSettings:
        """Returns the settings of the dataset.

        Args:
            base: the settings where these options give none.
            split_by: the unit that is held out.

        Raises:
            ValueError: a setting breaks its rule.
        """
        names = {
            field.name: field.name.removesuffix("_hz")
            for field in dataclasses.fields(BuildSettings)
            if field.name != "split_by"
        }
        given = {
            setting: getattr(self, name) for setting, name in names.items() if self.is_given(name)
        }
        return dataclasses.replace(base, **given, split_by=split_by)


def expanded(path: str) -> Path:
    """Returns a path with ~ expanded, as shells do not expand it after the = of a flag."""
    return Path(path).expanduser()
