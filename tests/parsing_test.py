"""Files that a person edits or copies halfway: whatever they hold, it is read or one sentence."""

import copy
import functools
import json
from typing import Annotated

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field

from samplernn_jax.config import ExperimentConfig
from samplernn_jax.data.dataset import Dataset, damaged_files, read_info
from samplernn_jax.parsing import build, parse_json, typed
from samplernn_jax.preparation import description, facts
from samplernn_jax.preparation.info import PreparedInfo
from samplernn_jax.preparation.named.fetching import Listing
from samplernn_jax.preparation.staging import _staged_before
from samplernn_jax.runs import integrity
from samplernn_jax.runs.metrics import read_metrics
from samplernn_jax.runs.workdir import RunInfo, Workdir
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.provenance import check_replaceable
from samplernn_jax.sampling.schedules import points, read_schedules
from samplernn_jax.storage import read_json, write_json
from tests.tiny_models import TINY, random_params
from tests.training.runs import make_dataset

DROP = object()
OTHER = (
    *(DROP, None, True, "", "x", "../x", "\0", "\udcff", -1, 0, 1, 0.5, 1e9, 10**30, 10**400),
    *(float("nan"), float("inf"), [], [[]], [None], {}, {"x": 1}, [1, 2, 3, 4]),
    functools.reduce(lambda inner, _: [inner], range(50), 0),
)
HOW = {
    **{"flags": {"seed": 1}, "model_sha256": "x", "settings": {"t": {}}, "prompts": {"a": "b"}},
    "model": {"matmul_precision": "highest"},
}
FACTS = {
    **{"num_samples": 3, "mean": 0.0, "rms": 0.1, "low": -0.4, "high": 0.4, "minimum": -0.5},
    **{"maximum": 0.5, "peak_s": 0.0, "bandwidth_hz": 100.0, "spectrum": [-3.0, -6.5]},
    **{"clipped": 0.0, "channel": 0, "lost_db": -1.5, "source_rate_hz": 8000},
    **{"source_channels": 1, "damage": "", "notes": ["has errors"], "digest": "x"},
}


def places(value, path=()):
    """The paths to everything in nested lists and dicts."""
    yield path
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield from places(value[key], (*path, key))


def changed(value, path, other):
    """A copy with another value at a place."""
    if not path:
        return None if other is DROP else other
    value = copy.deepcopy(value)
    *above, last = path
    group = functools.reduce(lambda part, key: part[key], above, value)
    if other is DROP:
        del group[last]
    else:
        group[last] = other
    return value


def changes(good):
    every = st.tuples(st.sampled_from([*places(good)]), st.sampled_from(OTHER))
    return every.map(lambda change: changed(good, *change))


def every_change(good):
    return (changed(good, path, other) for path in places(good) for other in OTHER)


def read_or_refused(read, *arguments):
    """That it is one sentence if it is refused."""
    try:
        read(*arguments)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def dataset(folder):
    return make_dataset(folder / "dataset")


def describe(path):
    Dataset.open(path)
    info, described = read_info(path, PreparedInfo), facts.read(path)
    description.table(info, described)
    description.histogram(info)
    description.loudness(info, described)


def test_a_description_of_a_dataset(dataset):
    good = json.loads((dataset / "dataset.json").read_text())

    @given(changes(good))
    @settings(max_examples=300, deadline=None)
    def check(content):
        (dataset / "dataset.json").write_text(json.dumps(content))
        read_or_refused(Dataset.open, dataset)
        read_or_refused(describe, dataset)
        try:
            damaged_files(dataset)
        except (ValueError, OSError) as error:
            assert len(str(error).splitlines()) == 1

    check()
    (dataset / "dataset.json").write_text(json.dumps(good))


def test_the_facts_about_a_recording_of_a_dataset(dataset):
    file = dataset / "recordings.jsonl"
    first, *others = file.read_text().splitlines()

    @given(changes(json.loads(first)))
    @settings(max_examples=300, deadline=None)
    @example({**json.loads(first), "gain": 0})
    @example({**json.loads(first), "gain": -1})
    @example({**json.loads(first), "rms": -1})
    def check(content):
        file.write_text("\n".join([json.dumps(content), *others]))
        read_or_refused(describe, dataset)

    check()
    file.write_text("\n".join([first, *others, ""]))


@pytest.mark.slow
def test_every_field_of_what_describes_a_dataset_and_a_run(dataset, folder):
    workdir = Workdir(folder / "run_with_every_change")
    workdir.write_info(RunInfo(ExperimentConfig(), 16_000, "x"))
    facts_file, info_file = dataset / "recordings.jsonl", dataset / "dataset.json"
    for file, read, argument in (
        (info_file, describe, dataset),
        (facts_file, describe, dataset),
        (workdir.config_file, Workdir.read_info, workdir),
    ):
        whole = file.read_text()
        lines = whole.splitlines() if file is facts_file else [whole]
        for content in every_change(json.loads(lines[0])):
            file.write_text("\n".join([json.dumps(content), *lines[1:]]))
            read_or_refused(read, argument)
        file.write_text(whole)


def test_a_configuration(folder):
    workdir = Workdir(folder / "run")
    workdir.write_info(RunInfo(ExperimentConfig(), 16_000, "x"))
    good = json.loads(workdir.config_file.read_text())

    @given(changes(good))
    @settings(max_examples=300, deadline=None)
    def check(content):
        workdir.config_file.write_text(json.dumps(content))
        read_or_refused(workdir.read_info)

    check()


def test_a_log(folder):
    workdir = Workdir(folder)
    good = [{"step": 1, "train_bits": 3.5}, {"step": 2, "valid_bits": 3}]

    @given(changes(good))
    @settings(max_examples=100, deadline=None)
    def check(content):
        lines = content if isinstance(content, list) else [content]
        workdir.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        read_or_refused(read_metrics, workdir)

    check()
    workdir.metrics_file.write_bytes(b'{"step": 1}\n{"step": 2, "x": \n\xff\n{"step": 3')
    assert read_metrics(workdir) == [{"step": 1}]


def read_schedule(path):
    for name, schedule in read_schedules(path, ("temperature", "top_p")).items():
        points(name, schedule, 2, "positive", lambda value: value > 0)


def read_checksums(path):
    [*integrity.damaged_files(path.parent)]


@pytest.mark.parametrize(
    ("name", "good", "read"),
    [
        ("schedule.json", {"temperature": [[0, 0.8], [10.5, 1]]}, read_schedule),
        ("how.json", HOW, lambda path: check_replaceable(path, HOW, ["x.wav"], set())),
        ("checksums.json", {"x": "y"}, read_checksums),
        (
            "listing.json",
            {"files": [{"name": "a.ogg", "size": "5", "sha1": "0" * 40}, {"name": "b"}]},
            lambda path: read_json(path, Listing),
        ),
        (
            "facts.json",
            FACTS,
            lambda path: _staged_before(path, {"name": "x", "split": None, "file": path}),
        ),
    ],
)
def test_any_other_file(folder, name, good, read):
    path = folder / name
    path.write_text(json.dumps(good))
    read(path)

    @given(changes(good))
    @settings(max_examples=100, deadline=None)
    def check(content):
        path.write_text(json.dumps(content))
        read_or_refused(read, path)

    check()
    for damaged in (b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000):
        path.write_bytes(damaged)
        read_or_refused(read, path)


def test_staged_facts_are_taken_only_where_they_are_whole(folder):
    file = folder / "staged.f32"
    file.write_bytes(bytes(4 * FACTS["num_samples"]))
    identity = {"name": "x", "split": None, "file": file}
    for change, whole in (
        ({}, True),
        ({"mean": float("nan")}, False),
        ({"num_samples": 3.0}, False),
        ({"spectrum": [-3.0, "loud"]}, False),
    ):
        write_json(folder / "staged.json", FACTS | change)
        staged = _staged_before(folder / "staged.json", identity)
        assert (staged is not None) == whole


ARRAYS = (
    *(DROP, np.zeros(0), np.zeros(3), np.zeros((2, 2)), np.array(True), np.array("x")),
    *(np.array(-1), np.array(10**12), np.zeros((2, 0), np.int32), np.array([], np.int64)),
    *(lambda x: x.astype(np.float64) if x.dtype.kind != "U" else x, lambda x: x[..., None]),
    *(
        lambda x: -x - 5 if x.dtype.kind in "if" else x,
        lambda x: np.concatenate([x, x]) if x.ndim else x,
    ),
    lambda x: np.full_like(x, np.nan) if x.dtype.kind == "f" else x,
)


def test_a_state_of_a_stream(folder):
    generator = Generator(TINY, random_params(TINY), 100, devices=jax.devices()[:1])
    stream = generator.stream(jax.random.key(0), 2, 0.07, top_p=0.9)
    next(stream)
    stream.save(folder / "good.npz")
    with np.load(folder / "good.npz") as file:
        good = dict(file)
    generator.resume(folder / "good.npz")
    changes = [(name, other) for name in good for other in range(len(ARRAYS))]

    @given(st.sampled_from(changes))
    @settings(max_examples=60, deadline=None)
    def check(change):
        name, other = change[0], ARRAYS[change[1]]
        arrays = dict(good)
        if other is DROP:
            del arrays[name]
        else:
            arrays[name] = other(good[name]) if callable(other) else other
        np.savez(folder / "bad.npz", **arrays)
        read_or_refused(generator.resume, folder / "bad.npz")

    check()


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (lambda x: x[None], r"holds int64 \[1, "),
        (lambda x: x.astype(np.float64), r"holds float64 \["),
        (lambda x: np.array(3), r"holds int64 \[\]"),
        (lambda x: np.where(np.arange(len(x)) == 1, 0, x), "holds a length of 0, must be greater"),
        (lambda x: x[:-1], "it holds"),
        (lambda x: np.append(x[:-2], [x[-2] + 1, x[-1] - 1]), None),
        (lambda x: np.append(x[:-1], x[-1] + 10**6), "it holds"),
        (lambda x: np.array([None] * len(x)), "cannot be read"),
    ],
)
def test_lengths_that_are_none_of_the_shards(dataset, lengths, message, tmp_path):
    file = dataset / "train.lengths.npy"
    before = file.read_bytes()
    try:
        np.save(file, lengths(np.load(file)))
        if message is None:
            Dataset.open(dataset)
        else:
            with pytest.raises(ValueError, match=message):
                Dataset.open(dataset)
        with file.open("wb") as stream:
            np.savez(stream, x=np.zeros(3))
        with pytest.raises(ValueError, match="holds several arrays, must hold one"):
            Dataset.open(dataset)
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate_hz": 0}, "sample_rate_hz=0: must be greater than or equal to 1"),
        ({"sample_rate_hz": None}, "sample_rate_hz=None: must be a whole number"),
        ({"sample_rate_hz": "x"}, "sample_rate_hz='x': must be a whole number"),
        ({"sample_rate_hz": 0.5}, "sample_rate_hz=0.5: must be a whole number"),
        ({"train": {"num_clips": 0}}, r"splits.train.num_clips=0: must be greater than 0"),
        ({"train": {"shards": []}}, r"splits.train.shards=\[\]: must not be empty"),
    ],
)
def test_the_field_the_value_and_the_rule_are_named(dataset, change, message):
    file = dataset / "dataset.json"
    good = json.loads(file.read_text())
    info = copy.deepcopy(good)
    info["splits"]["train"] |= change.pop("train", {})
    file.write_text(json.dumps(info | change))
    with pytest.raises(ValueError, match=f"dataset.json: {message}$"):
        Dataset.open(dataset)
    file.write_text(json.dumps(good))


@pytest.mark.parametrize(
    ("limits", "value", "message"),
    [
        ({"min_length": 1}, [], r"x=\[\]: must not be empty$"),
        ({"min_length": 2, "max_length": 2}, [1], r"x=\[1\]: must have at least 2 items$"),
        ({"min_length": 2, "max_length": 2}, [1, 2, 3], r"must have at most 2 items$"),
    ],
)
def test_how_many_items_a_list_must_have_is_told(limits, value, message):
    with pytest.raises(ValueError, match=message):
        typed(Annotated[list[int], Field(**limits)], value, "x")


def test_what_newer_programs_write_beside_it_stays():
    assert typed(dict[str, int], {"a": 1}, "x") == {"a": 1}
    info = {"files": [{"name": "a", "mtime": "3"}], "server": "x"}
    assert parse_json(json.dumps(info), Listing, "x") == info


def test_lists_stand_for_tuples_and_whole_numbers_for_others():
    config = build(ExperimentConfig, {"model": {"frame_sizes": [2, 4]}, "sample": {}}, "config")
    assert config.model.frame_sizes == (2, 4)
    assert isinstance(
        build(
            ExperimentConfig, {"data": {"synthetic_minutes": 3}}, "config"
        ).data.synthetic_minutes,
        float,
    )
