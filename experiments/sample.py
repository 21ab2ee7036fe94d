"""Generates audio from a trained model.

    python -m experiments.sample --workdir=runs/demo --output=more --num_sequences=4 --duration_s=5

writes WAV files, their spectrograms and a JSON file that says how they were made and how likely
each of them is. The run describes itself; --step takes another checkpoint than the best. The same
seed gives the same audio. A lower temperature makes it calmer, a higher one wilder; one for each
sequence tries several at once, and --schedule changes them over time.

    python -m experiments.sample --workdir=runs/piano --output=more --prompt=sonata.flac \
        --prompt_start_s=60 --prompt_duration_s=2 --continuations=4 --keep_prompt

continues a recording, in any format and at any sample rate, four times.

    python -m experiments.sample --workdir=runs/piano --stream | ffplay -nodisp -

plays for ever. Ctrl-C ends it, with --save_state=FILE so that --resume_state=FILE goes on.
"""

import contextlib
import dataclasses
import importlib.metadata
import itertools
import operator
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import cli, processes
from samplernn_jax import audio
from samplernn_jax.config import MAX_SEED
from samplernn_jax.evaluation import scores
from samplernn_jax.interruption import Interrupted, Request, noticed
from samplernn_jax.sampling import output
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.player import play
from samplernn_jax.sampling.priming import Prompt
from samplernn_jax.sampling.schedules import Setting, read_schedules
from samplernn_jax.sampling.strategies import Strategy
from samplernn_jax.sampling.stream import Stream
from samplernn_jax.storage import checksum, make_folder, write_json

_SETTINGS = ("temperature", "top_k", "top_p")

_OF_NO_CONSEQUENCE = {
    *("workdir", "output", "pictures"),
    *(flag.name for flag in flags.FLAGS.get_key_flags_for_module(processes)),
}
"""Flags with which files differ that differ in nothing else."""

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the audio; not with --stream.")
_NUM_SEQUENCES = flags.DEFINE_integer(
    "num_sequences", None, "How many. Default: 4; with --stream 1, and several are its channels."
)
_DURATION_S = flags.DEFINE_float(
    "duration_s", None, "Length of each in seconds. Default: 5; without end with --stream."
)
_TEMPERATURE = flags.DEFINE_list(
    "temperature", ["0.95"], "0 always takes the likeliest sample. Or one for each sequence: 0.9,1"
)
_TOP_K = flags.DEFINE_list(
    "top_k",
    None,
    "Draw from so many of the likeliest values of a sample. Or one for each sequence.",
)
_TOP_P = flags.DEFINE_list(
    "top_p",
    None,
    "Draw from the likeliest values that have so much probability together. Or one for each "
    "sequence.",
)
_SCHEDULE = flags.DEFINE_string(
    "schedule",
    None,
    'JSON file with values over time, such as {"temperature": [[0, 0.8], [10, 1.1]]}: pairs of '
    "seconds and values, in between straight lines. Also for top_k and top_p.",
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the random numbers.", lower_bound=0, upper_bound=MAX_SEED - 1
)
_STEP = flags.DEFINE_integer("step", None, "Checkpoint to take. Default: the best.")
_RANDOM_STATE = flags.DEFINE_boolean(
    "random_state", False, "Begin with random RNN states instead of those that were learned."
)
_PROMPT = flags.DEFINE_multi_string(
    "prompt", [], "Recording to continue, whatever its format. May be given several times."
)
_PROMPT_START_S = flags.DEFINE_float("prompt_start_s", 0.0, "Where in the recording it begins.")
_PROMPT_DURATION_S = flags.DEFINE_float(
    "prompt_duration_s", None, "How much of the recording is the prompt. Default: all that follows."
)
_PROMPT_GAIN = flags.DEFINE_float(
    "prompt_gain", 1.0, "Factor for the prompt's level, such as the gain that the dataset has."
)
_CONTINUATIONS = flags.DEFINE_integer(
    "continuations", None, "Sequences for each prompt. Default: 1.", lower_bound=1
)
_KEEP_PROMPT = flags.DEFINE_boolean(
    "keep_prompt", False, "Begin each file with its prompt, as the model heard it."
)
_RANK = flags.DEFINE_boolean(
    "rank", False, "Number the files by bits per sample, the likeliest first."
)
_REJECT = flags.DEFINE_list(
    "reject",
    None,
    "LOW,HIGH: keep none of the least likely LOW and the likeliest HIGH, such as 0.4,0.05.",
)
_ENCODING = flags.DEFINE_enum(
    "encoding", "wav16", [*audio.ENCODINGS, "raw16"], "Of the files; raw16 with --stream only."
)
_NORMALIZE = flags.DEFINE_boolean("normalize", False, "Bring each file's peak to full scale.")
_PICTURES = flags.DEFINE_boolean("pictures", True, "Draw the spectrogram of each file.")
_STREAM = flags.DEFINE_boolean("stream", False, "Write to standard output, for a player.")
_BLOCK_S = flags.DEFINE_float("block_s", 0.5, "With --stream: seconds handed over at once.")
_SAVE_STATE = flags.DEFINE_string(
    "save_state", None, "With --stream: file to which the state is saved when it ends."
)
_RESUME_STATE = flags.DEFINE_string(
    "resume_state", None, "With --stream: goes on where the state in this file was saved."
)
flags.adopt_module_key_flags(processes)


def main() -> None:
    """Generates, writes and lists the files, or plays."""
    processes.join()
    _check_flags()
    generator = Generator.from_workdir(_WORKDIR.value, _STEP.value)
    if _STREAM.value:
        _play(generator)
    else:
        _record(generator)


def _check_flags() -> None:
    """Every flag that is given has something to do."""
    cli.check_paths("workdir", "output", "schedule", "prompt", "save_state", "resume_state")
    cli.refuse_unless(_STREAM.value, "needs --stream", "block_s", "save_state", "resume_state")
    cli.refuse_unless(
        not _STREAM.value,
        "does not go with --stream",
        *("output", "keep_prompt", "rank", "reject", "normalize", "pictures"),
    )
    cli.refuse_unless(
        bool(_PROMPT.value),
        "needs --prompt",
        *("prompt_start_s", "prompt_duration_s", "prompt_gain", "continuations", "keep_prompt"),
    )
    cli.refuse_unless(
        not _PROMPT.value,
        "does not go with --prompt, where --continuations says how many there are",
        "num_sequences",
    )
    cli.refuse_unless(
        _RESUME_STATE.value is None,
        "is determined by the state that is resumed",
        *("num_sequences", "temperature", "top_k", "top_p", "schedule", "seed", "random_state"),
        *("prompt", "block_s"),
    )
    if not _STREAM.value and _OUTPUT.value is None:
        raise ValueError("output: must be given, or --stream")
    _fractions()
    if _ENCODING.value == "raw16" and not _STREAM.value:
        raise ValueError("encoding=raw16: needs --stream")
    if _STREAM.value and _ENCODING.value not in ("wav16", "raw16"):
        raise ValueError(f"encoding={_ENCODING.value}: must be wav16 or raw16 with --stream")
    if _STREAM.value and jax.process_count() > 1:
        raise ValueError("stream: needs a single process")
    if jax.process_count() > 1 and (_RANK.value or _REJECT.value):
        raise ValueError("rank, reject: need a single process, as each knows its sequences only")


def _start(generator: Generator, block_s: float) -> Stream:
    """The stream that the flags describe."""
    prompts = [
        Prompt(path, None, _PROMPT_START_S.value, _PROMPT_DURATION_S.value, _PROMPT_GAIN.value)
        for path in _PROMPT.value
    ]
    stream = generator.stream(
        jax.random.key(_SEED.value),
        _num_sequences(),
        block_s,
        prompt=prompts or None,
        random_state=_RANDOM_STATE.value,
        part=(jax.process_index(), jax.process_count()),
        **_settings(),
    )
    for note in stream.notes:
        print(f"note: {note}.", file=sys.stderr)
    return stream


def _num_sequences() -> int:
    default = len(_PROMPT.value) * _continuations() or (1 if _STREAM.value else 4)
    return default if _NUM_SEQUENCES.value is None else _NUM_SEQUENCES.value


def _continuations() -> int:
    return _CONTINUATIONS.value or 1


def _duration_s() -> float:
    """Of files."""
    return 5.0 if _DURATION_S.value is None else _DURATION_S.value


def _settings() -> dict[str, Setting]:
    """Temperature, top_k and top_p as they were given, in flags or in the schedule."""
    values: dict[str, Setting] = {}
    for name in _SETTINGS:
        if (given := flags.FLAGS[name].value) is None:
            continue
        try:
            numbers = [float(value) for value in given]
        except ValueError as error:
            raise ValueError(f"{name}={','.join(given)}: must be numbers") from error
        values[name] = numbers[0] if len(numbers) == 1 else numbers
    if _SCHEDULE.value is not None:
        schedules = read_schedules(Path(_SCHEDULE.value), _SETTINGS)
        for name in schedules:
            if flags.FLAGS[name].present:
                given = ",".join(flags.FLAGS[name].value)
                raise ValueError(f"{name}={given}: is in the schedule too")
        values |= schedules
    return values


def _record(generator: Generator) -> None:
    """Writes files, and beside them how they were made."""
    folder, rate = Path(_OUTPUT.value), generator.sample_rate_hz
    num_samples = generator.num_samples("duration_s", _duration_s())
    output.check_num_files(_num_sequences(), jax.process_count())
    stream = _start(generator, generator.block_s)
    longest = max((len(heard) for heard in stream.prompts), default=0) if _KEEP_PROMPT.value else 0
    size = output.check_size(
        *(folder, len(stream.numbers), num_samples + longest, rate),
        *(_ENCODING.value, _NORMALIZE.value),
    )
    scores.without_tails([*range(len(stream.numbers))], *_fractions())
    make_folder("output", folder)
    how, names = _recipe(generator, stream), _names(generator, stream)
    path_of_how = folder / f"{_prefix(generator, stream.settings, _PROMPT.value)}{_share()}.json"
    output.check_replaceable(path_of_how, how, names.values(), _OF_NO_CONSEQUENCE)
    request = Request()
    with (
        noticed(request),
        tempfile.TemporaryDirectory(prefix=".partial_", dir=folder) as scratch,
    ):
        print(f"Generating {size}.", file=sys.stderr)
        began = time.monotonic()
        takes = _generate(stream, Path(scratch), num_samples, request)
        elapsed_s = time.monotonic() - began
        paths: dict[output.Take, Path] = {}  # of those that are kept
        for take in _selected(takes):
            rank = f"rank_{len(paths):0{len(str(len(takes) - 1))}}_" if _RANK.value else ""
            paths[take] = take.path.replace(folder / f"{rank}{names[take.number]}")
        sequences = [
            {
                "file": path.name,
                "number": take.number,
                "bits_per_sample": take.bits_per_sample,
                "bits_over_time": take.bits_over_time,
            }
            for take, path in paths.items()
        ]
        rejected = [take.number for take in takes if take not in paths]
        write_json(path_of_how, {**how, "sequences": sequences, "rejected": rejected})
    print(*paths.values(), sep="\n")
    if request.exit_code:
        raise Interrupted("Stopped after the audio was written.", request.exit_code)
    for path in paths.values() if _PICTURES.value else ():
        output.draw(path)
    factor = num_samples / rate / elapsed_s
    print(
        f"In {elapsed_s:.1f} s with compilation: {factor:.3g} times real time for each sequence, "
        f"{factor * len(takes):.3g} in all.",
        file=sys.stderr,
    )


def _share() -> str:
    """What the names of files end in that each process writes."""
    return f"_process_{jax.process_index()}" if jax.process_count() > 1 else ""


def _generate(
    stream: Stream, folder: Path, num_samples: int, request: Request
) -> list[output.Take]:
    """Writes the files of all sequences, or raises Interrupted if that is requested."""
    number = itertools.count()
    encoding = output.EXACT if _NORMALIZE.value else _ENCODING.value
    with output.progress(num_samples, stream.sample_rate_hz) as advance:

        def after_block(length: int) -> None:
            advance(length)
            step = next(number)
            if request.is_due(range(step, step + 1)):
                raise Interrupted("Stopped.", request.exit_code)

        takes = output.record(
            stream, folder, num_samples, encoding, _KEEP_PROMPT.value, after_block
        )
    if not _NORMALIZE.value:
        return takes
    louder = []
    for take in takes:
        if request.exit_code:
            raise Interrupted("Stopped.", request.exit_code)
        louder.append(output.normalize(take, _ENCODING.value))
    return louder


def _selected(takes: list[output.Take]) -> list[output.Take]:
    """Those that are kept, ranked if they are to be."""
    order = scores.likeliest_first(np.array([take.bits_per_sample for take in takes]))
    order = scores.without_tails(order, *_fractions())
    return [takes[row] for row in (order if _RANK.value else sorted(order))]


def _fractions() -> tuple[float, float]:
    """The tails that are rejected: of the least and of the most likely."""
    try:
        low, high = (float(fraction) for fraction in _REJECT.value or ("0", "0"))
    except ValueError as error:
        raise ValueError(
            f"reject={','.join(_REJECT.value)}: must be two numbers LOW,HIGH"
        ) from error
    return low, high


def _names(generator: Generator, stream: Stream) -> dict[int, str]:
    """What the file of each sequence is called, but for its rank."""
    names = {}
    for row, number in enumerate(map(int, stream.numbers)):
        settings = jax.tree.map(operator.itemgetter(row), stream.settings)
        prompts = _PROMPT.value and [_PROMPT.value[number // _continuations()]]
        name = _prefix(generator, settings, prompts)
        names[number] = f"{name}_{number}.{audio.suffix(_ENCODING.value)}"
    return names


def _prefix(generator: Generator, settings: Strategy, prompts: list[str]) -> str:
    return output.prefix(generator.step, settings, [*map(Path, prompts)], _SEED.value)


def _recipe(generator: Generator, stream: Stream) -> dict[str, Any]:
    """All that it takes to make the same again."""
    of_command = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    given = {flag.name: flag.value for flag in of_command if flag.value is not None}
    resolved = {"step": generator.step, "duration_s": _duration_s()} | (
        {"continuations": _continuations()}
        if _PROMPT.value
        else {"num_sequences": _num_sequences()}
    )
    packages = ("samplernn_jax", "jax", "jaxlib", "numpy")
    return {
        "flags": given | resolved,
        "model_sha256": generator.fingerprint,
        "sample_rate_hz": generator.sample_rate_hz,
        "model": dataclasses.asdict(generator.config),
        "settings": {
            name: {"times_s": points.times_s.tolist(), "values": points.values.tolist()}
            for name, points in stream.settings._asdict().items()
            if points is not None
        },
        "prompts": {path: checksum(Path(path)) for path in _PROMPT.value},
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "devices": f"{jax.local_device_count()} {jax.devices()[0].device_kind}",
        "bits_over_time_every_s": stream.block_len / generator.sample_rate_hz,
    }


def _play(generator: Generator) -> None:
    """Writes to standard output until it is enough, the player is gone, or a signal comes."""
    if sys.stdout.isatty():
        raise ValueError("stream: standard output is a terminal, must be a player or a file")
    if _SAVE_STATE.value is not None:
        if (path := Path(_SAVE_STATE.value)).is_dir():
            raise ValueError(f"save_state={path}: is a folder, must be a file")
        make_folder("folder of save_state", path.parent)
    if _RESUME_STATE.value is None:
        stream = _start(generator, _BLOCK_S.value)
    else:
        stream = generator.resume(_RESUME_STATE.value)
    num_samples = None
    if _DURATION_S.value is not None:
        num_samples = generator.num_samples("duration_s", _DURATION_S.value)
    request = Request()
    try:
        with (
            noticed(request),
            contextlib.suppress(BrokenPipeError),  # what is still buffered when the player is gone
            os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe,
        ):
            done = play(
                stream,
                pipe,
                _ENCODING.value == "wav16",
                pipe.seekable() and not _appends(pipe.fileno()),
                num_samples,
                lambda: request.is_due(range(0)),
            )
    except OSError as error:
        raise ValueError(
            f"standard output: cannot be written ({error.strerror}){_saved(stream)}"
        ) from error
    told = f"Played {done / generator.sample_rate_hz:.1f} s{_saved(stream)}."
    if request.exit_code:
        raise Interrupted(told, request.exit_code)
    print(told, file=sys.stderr)


def _appends(file: int) -> bool:
    """Whether what is written goes to the end of the file, wherever that is."""
    try:
        import fcntl
    except ImportError:  # on Windows, which does not tell
        return True
    return bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_APPEND)


def _saved(stream: Stream) -> str:
    """Saves the state, if that is asked for, and tells so."""
    if _SAVE_STATE.value is None:
        return ""
    stream.save(_SAVE_STATE.value)
    return f"; --resume_state={_SAVE_STATE.value} goes on"


if __name__ == "__main__":
    cli.run(main, __doc__)
