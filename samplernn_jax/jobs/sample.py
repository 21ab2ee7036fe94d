"""Generating audio with a trained model: into files, or as a stream."""

import dataclasses
import importlib.metadata
import io
import itertools
import operator
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from samplernn_jax import audio
from samplernn_jax.checks import require
from samplernn_jax.evaluation import scores
from samplernn_jax.interruption import Interrupted, Request, noticed
from samplernn_jax.jobs.options.base import fields
from samplernn_jax.jobs.options.processes import ProcessOptions
from samplernn_jax.jobs.options.sample import SETTINGS, SampleOptions
from samplernn_jax.sampling import output, player, provenance
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.output import WrittenSequence
from samplernn_jax.sampling.priming import Prompt
from samplernn_jax.sampling.schedules import Setting, read_schedules
from samplernn_jax.sampling.stream import Stream
from samplernn_jax.storage import checksum, make_folder, write_json

_OF_NO_CONSEQUENCE = {
    *("workdir", "output", "pictures"),
    *(field.name for field in fields(ProcessOptions)),
}
"""Flags that do not change the content of the files."""


class Written(NamedTuple):
    """The result of generating files.

    Attributes:
        paths: the files of the sequences that were kept, in the order of their ranks or numbers.
        num_generated: the number of sequences, including rejected ones.
        duration_s: the length of each sequence, without its prompt.
        elapsed_s: the seconds that generating took.
        exit_code: the exit code of a signal that came after all was written; 0 without one.
    """

    paths: tuple[Path, ...]
    num_generated: int
    duration_s: float
    elapsed_s: float
    exit_code: int


class Played(NamedTuple):
    """The end of a stream.

    Attributes:
        duration_s: the length of the audio that was handed over.
        exit_code: the exit code of the signal that ended the stream; 0 without one.
    """

    duration_s: float
    exit_code: int


def write_files(options: SampleOptions, tell: Callable[[str], None]) -> Written:
    """Generates sequences, and writes each to a file, with a JSON file that records how.

    Args:
        options: options without `stream`; each of several processes writes its share.
        tell: receives notes for the user, a sentence each.

    Raises:
        ValueError: an option breaks its rule, does not fit the model, or would replace files that
            were made in another way.
        Interrupted: a signal came before all audio was generated; no file is left.
    """
    if options.output is None:
        raise ValueError("output: must be given")
    require(
        jax.process_count() == 1 or not (options.rank or options.reject),
        "rank, reject: need a single process, as each knows only its sequences",
    )
    generator = Generator.from_workdir(options.workdir, options.step)
    rate = generator.sample_rate_hz
    num_samples = generator.num_samples("duration_s", options.file_duration_s)
    output.check_num_files(options.sequences, jax.process_count())
    stream = _begun(generator, options, generator.block_s, tell)
    low, high = options.reject or (0.0, 0.0)
    scores.without_tails([*range(len(stream.numbers))], low, high)
    before = max((len(heard) for heard in stream.prompts), default=0) if options.keep_prompt else 0
    folder = Path(options.output)
    size = output.check_size(
        *(folder, len(stream.numbers), num_samples + before, rate),
        *(options.encoding, options.normalize),
    )
    make_folder("output", folder)
    plan = _Plan.of(generator, stream, options, folder)
    provenance.check_replaceable(
        plan.json_path, plan.provenance, plan.names.values(), _OF_NO_CONSEQUENCE
    )
    tell(f"Generating {size}.")
    began, request = time.monotonic(), Request()
    with (
        noticed(request),
        tempfile.TemporaryDirectory(prefix=".partial_", dir=folder) as scratch,
    ):
        sequences = _generate(stream, options, Path(scratch), num_samples, request)
        elapsed_s = time.monotonic() - began
        paths = _keep(sequences, options, plan, folder)
    return Written(
        *(tuple(paths), len(sequences), num_samples / rate, elapsed_s, request.exit_code)
    )


def draw(written: Written) -> int:
    """Draws the spectrogram of each file beside it, until a signal comes; returns its exit code."""
    request = Request()
    with noticed(request):
        for path in written.paths:
            if request.exit_code == 0:
                output.draw(path)
    return request.exit_code


def begin_stream(options: SampleOptions, tell: Callable[[str], None]) -> Stream:
    """Returns the stream that the options describe, a new one or a resumed one.

    Args:
        options: options with `stream`.
        tell: receives notes for the user, a sentence each.

    Raises:
        ValueError: an option breaks its rule or does not fit the model, there are several
            processes, or the state could not be saved.
    """
    require(jax.process_count() == 1, "stream: needs a single process")
    generator = Generator.from_workdir(options.workdir, options.step)
    if options.duration_s is not None:
        generator.num_samples("duration_s", options.duration_s)
    if options.save_state is not None:
        path = Path(options.save_state)
        require(not path.is_dir(), f"save_state={path}: is a folder, but must be a file")
        make_folder("folder of save_state", path.parent)
    if options.resume_state is not None:
        return generator.resume(options.resume_state)
    stream = _begun(generator, options, options.block_s, tell)
    stream.options = options.as_flags()
    return stream


def play(options: SampleOptions, stream: Stream, pipe: io.BufferedIOBase) -> Played:
    """Writes a stream until it ends, its reader closes it, or a signal comes; then saves the state.

    Args:
        options: the options of the stream; the state is saved only with `save_state`.
        stream: the result of `begin_stream`.
        pipe: receives the audio.

    Raises:
        ValueError: the stream has more sequences than a WAV file can have channels, or the state
            cannot be saved.
        OSError: the output accepts no more; the state is saved.
    """
    num_samples = None
    if options.duration_s is not None:
        num_samples = round(options.duration_s * stream.sample_rate_hz)
    request, has_header = Request(), options.encoding == "wav16"
    may_seek = player.may_rewrite(pipe)
    with noticed(request):
        try:
            done = player.play(
                *(stream, pipe, has_header, may_seek, num_samples),
                lambda: request.is_due(range(0)),
            )
        except OSError:
            _save(stream, options)
            raise
    _save(stream, options)
    return Played(done / stream.sample_rate_hz, request.exit_code)


def _save(stream: Stream, options: SampleOptions) -> None:
    if options.save_state is None:
        return
    try:
        stream.save(options.save_state)
    except OSError as error:
        raise ValueError(
            f"save_state={options.save_state}: cannot be written ({error.strerror})"
        ) from error


def _begun(
    generator: Generator, options: SampleOptions, block_s: float, tell: Callable[[str], None]
) -> Stream:
    """Returns the new stream that the options describe, or this process's share of it."""
    prompts = [
        Prompt(path, None, options.prompt_start_s, options.prompt_duration_s, options.prompt_gain)
        for path in options.prompt
    ]
    stream = generator.stream(
        jax.random.key(options.seed),
        options.sequences,
        block_s,
        prompt=prompts or None,
        random_state=options.random_state,
        part=(jax.process_index(), jax.process_count()),
        **_settings(options),
    )
    for note in stream.notes:
        tell(f"note: {note}.")
    return stream


def _settings(options: SampleOptions) -> dict[str, Setting]:
    """Returns temperature, top_k and top_p: as given, or as in the schedule."""
    values: dict[str, Setting] = {}
    for name in SETTINGS:
        given = getattr(options, name)
        if given is not None:
            values[name] = given[0] if len(given) == 1 else list(given)
    if options.schedule is None:
        return values
    schedules = read_schedules(Path(options.schedule), SETTINGS)
    options.refuse_unless(False, "is in the schedule too", *schedules)
    return values | schedules


def _generate(
    stream: Stream, options: SampleOptions, folder: Path, num_samples: int, request: Request
) -> list[WrittenSequence]:
    """Writes the files of all sequences, or raises Interrupted after a signal."""
    blocks = itertools.count()
    encoding = output.EXACT if options.normalize else options.encoding
    with output.progress(num_samples, stream.sample_rate_hz) as advance:

        def after_block(length: int) -> None:
            advance(length)
            block = next(blocks)
            if request.is_due(range(block, block + 1)):
                raise Interrupted("Stopped.", request.exit_code)

        sequences = output.write(
            stream, folder, num_samples, encoding, options.keep_prompt, after_block
        )
    if not options.normalize:
        return sequences
    louder = []
    for sequence in sequences:
        if request.exit_code:
            raise Interrupted("Stopped.", request.exit_code)
        louder.append(output.normalize(sequence, options.encoding))
    return louder


class _Plan(NamedTuple):
    """The names of the files, and the content of the JSON file.

    Attributes:
        names: the name of each sequence's file, without its rank, by the sequence's number.
        json_path: the file that records how they were made.
        provenance: the content of that file, apart from the sequences.
    """

    names: dict[int, str]
    json_path: Path
    provenance: dict[str, Any]

    @classmethod
    def of(
        cls, generator: Generator, stream: Stream, options: SampleOptions, folder: Path
    ) -> "_Plan":
        prompts = [Path(path) for path in options.prompt]
        suffix, names = audio.suffix(options.encoding), {}
        for row, number in enumerate(map(int, stream.numbers)):
            settings = jax.tree.map(operator.itemgetter(row), stream.settings)
            heard = [prompts[number // options.continuations_each]] if prompts else []
            name = provenance.prefix(generator.step, settings, heard, options.seed)
            names[number] = f"{name}_{number}.{suffix}"
        share = f"_process_{jax.process_index()}" if jax.process_count() > 1 else ""
        prefix = provenance.prefix(generator.step, stream.settings, prompts, options.seed)
        return cls(names, folder / f"{prefix}{share}.json", _provenance(generator, stream, options))


def _keep(
    sequences: list[WrittenSequence], options: SampleOptions, plan: _Plan, folder: Path
) -> list[Path]:
    """Renames the selected files, and writes the JSON file beside them."""
    kept = _selected(sequences, options)
    digits = len(str(len(sequences) - 1))
    paths = []
    for rank, sequence in enumerate(kept):
        ranked = f"rank_{rank:0{digits}}_" if options.rank else ""
        paths.append(sequence.path.replace(folder / f"{ranked}{plan.names[sequence.number]}"))
    told = [
        {
            "file": path.name,
            "number": sequence.number,
            "bits_per_sample": sequence.bits_per_sample,
            "bits_over_time": sequence.bits_over_time,
        }
        for path, sequence in zip(paths, kept, strict=True)
    ]
    rejected = [sequence.number for sequence in sequences if sequence not in kept]
    write_json(plan.json_path, {**plan.provenance, "sequences": told, "rejected": rejected})
    return paths


def _selected(sequences: list[WrittenSequence], options: SampleOptions) -> list[WrittenSequence]:
    """Returns the sequences that are kept, ranked if the options say so."""
    low, high = options.reject or (0.0, 0.0)
    order = scores.likeliest_first(np.array([x.bits_per_sample for x in sequences]))
    order = scores.without_tails(order, low, high)
    return [sequences[row] for row in (order if options.rank else sorted(order))]


def _provenance(generator: Generator, stream: Stream, options: SampleOptions) -> dict[str, Any]:
    """Returns all that is needed to make the same files again."""
    resolved = {"step": generator.step, "duration_s": options.file_duration_s} | (
        {"continuations": options.continuations_each}
        if options.prompt
        else {"num_sequences": options.sequences}
    )
    packages = ("samplernn_jax", "jax", "jaxlib", "numpy")
    return {
        "flags": options.as_flags() | resolved,
        "model_sha256": generator.fingerprint,
        "sample_rate_hz": generator.sample_rate_hz,
        "model": dataclasses.asdict(generator.config),
        "settings": {
            name: {"times_s": points.times_s.tolist(), "values": points.values.tolist()}
            for name, points in stream.settings._asdict().items()
            if points is not None
        },
        "prompts": {path: checksum(Path(path)) for path in options.prompt},
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "devices": f"{jax.local_device_count()} {jax.devices()[0].device_kind}",
        "bits_over_time_every_s": stream.block_len / generator.sample_rate_hz,
    }
