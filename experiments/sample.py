r"""Generates audio from a trained model.

    python -m experiments.sample --workdir=runs/demo --output=more --num_sequences=4 --duration_s=5

writes WAV files, their spectrograms and a JSON file that records how they were made and how likely
each of them is. The workdir holds everything that is needed; --step uses a checkpoint other than
the best. The same seed gives the same audio. A lower temperature makes the audio calmer, a higher
one wilder; a list, one for each sequence, tries several at once, and --schedule changes it over
time.

    python -m experiments.sample --workdir=runs/piano --output=more --prompt=sonata.flac \
        --prompt_start_s=60 --prompt_duration_s=2 --continuations=4 --keep_prompt

continues a recording, in any format and at any sample rate, four times.

    python -m experiments.sample --workdir=runs/piano --stream | ffplay -nodisp -

plays until Ctrl-C. --save_state=FILE saves the state then, and --resume_state=FILE goes on from it.
"""

import contextlib
import os
import sys
from collections.abc import Sequence

from experiments import cli
from experiments.messages import tell
from samplernn_jax.checks import require
from samplernn_jax.jobs.options.sample import SampleOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Generates, writes and lists the files, or plays a stream; returns the exit code."""
    return cli.main(argv, __doc__, cli.options(SampleOptions), _sample, together=True)


def _sample(options: SampleOptions) -> None:
    (_play if options.stream else _write)(options)


def _write(options: SampleOptions) -> None:
    from samplernn_jax.interruption import Interrupted
    from samplernn_jax.jobs import sample

    written = sample.write_files(options, tell)
    print(*written.paths, sep="\n", flush=True)
    exit_code = written.exit_code
    if options.pictures and not exit_code:
        exit_code = sample.draw(written)
    if exit_code:
        raise Interrupted("Stopped after the audio was written.", exit_code)
    factor = written.duration_s / written.elapsed_s
    tell(
        f"Took {written.elapsed_s:.1f} s, compilation included: {factor:.3g} times real time for "
        f"each sequence, {factor * written.num_generated:.3g} in total."
    )


def _play(options: SampleOptions) -> None:
    """Writes a stream to standard output until it ends, its reader closes it, or a signal comes."""
    from samplernn_jax.interruption import Interrupted
    from samplernn_jax.jobs import sample

    require(
        not sys.stdout.isatty(),
        "stream: standard output is a terminal, but must be a player or a file",
    )
    stream = sample.begin_stream(options, tell)
    saved = f"; --resume_state={options.save_state} goes on" if options.save_state else ""
    try:
        with (
            contextlib.suppress(BrokenPipeError),  # of what is buffered for a closed player
            os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe,
        ):
            verb = "Wrote" if pipe.seekable() else "Played"
            played = sample.play(options, stream, pipe)
    except OSError as error:
        raise ValueError(f"standard output: cannot be written ({error.strerror}){saved}") from error
    told = f"{verb} {played.duration_s:.1f} s{saved}."
    if played.exit_code:
        raise Interrupted(told, played.exit_code)
    tell(told)


if __name__ == "__main__":
    cli.run(main)
