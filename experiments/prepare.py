"""Makes a dataset from recordings.

    python -m experiments.prepare --input=my_recordings --output=datasets/mine

Takes every audio file below the folder that libsndfile or FFmpeg reads (wav, flac, ogg, mp3, m4a,
wma, the sound of mp4 and webm, ...), of any length, sample rate and channel count, mixes it down to
mono, resamples it, leaves silence out and cuts the rest into clips. One gain is applied to all
recordings, so that their relative loudness is kept. Whole recordings are held out for validation
and test where there are at least ten of them, single clips otherwise. Files that cannot be read are
listed and passed over.

Datasets of the field are downloaded, checked and split as the papers do:

    python -m experiments.prepare --dataset=sc09 --output=datasets/sc09

A stopped preparation or download goes on when the same command is run again. To see the summary
again, and check that no file has changed since:

    python -m experiments.prepare --describe=datasets/mine
"""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from absl import flags
from tqdm import tqdm

from experiments import cli

if TYPE_CHECKING:
    from samplernn_jax.jobs.options.prepare import PrepareOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Prepares a dataset, or describes one; returns the exit code."""
    return cli.main(argv, __doc__, _define, _prepare)


def _define(values: flags.FlagValues, arguments: list[str]) -> Callable[[], "PrepareOptions"]:
    from samplernn_jax.jobs.options.prepare import PrepareOptions  # here, as it imports jax

    return cli.options(PrepareOptions)(values, arguments)


def _prepare(options: "PrepareOptions") -> None:
    from samplernn_jax.jobs import prepare
    from samplernn_jax.jobs.options.prepare import expanded

    if options.describe is not None:
        for part in prepare.describe(expanded(options.describe)):
            print(part)
        return
    with _Bars() as progress:
        told = prepare.prepare(options, print, progress)
    output = expanded(options.output or "")
    print(f"{output} holds")
    print(told)
    print(f"Train on it with --config.data.path={output}")


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
    cli.run(main)
