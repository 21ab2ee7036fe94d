import dataclasses
import json
import subprocess
import sys

import pytest

from samplernn_jax.config import MAX_SEED, NORMALIZATIONS
from samplernn_jax.data.dataset import SPLITS
from samplernn_jax.jobs.options import base
from samplernn_jax.jobs.options.benchmark import BenchmarkOptions
from samplernn_jax.jobs.options.evaluate import EvaluateOptions
from samplernn_jax.jobs.options.prepare import PrepareOptions
from samplernn_jax.jobs.options.processes import ProcessOptions
from samplernn_jax.jobs.options.sample import SampleOptions
from samplernn_jax.preparation.named.catalog import DATASETS
from samplernn_jax.preparation.settings import BuildSettings
from tests.experiments.commands import ROOT

TO_FILES = {"workdir": "run", "output": "audio"}


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SampleOptions, {**TO_FILES, "seed": -1}, "seed=-1: must be at least 0"),
        (SampleOptions, {**TO_FILES, "seed": 2**31}, "seed=2147483648: must be at most 21474836"),
        (SampleOptions, {**TO_FILES, "encoding": "mp3"}, "encoding=mp3: must be one of wav16, "),
        (SampleOptions, {**TO_FILES, "workdir": ""}, "workdir='': must not be empty"),
        (SampleOptions, {**TO_FILES, "workdir": "gs://x"}, "workdir=gs://x: must be a path on th"),
        (SampleOptions, {**TO_FILES, "prompt": ("x", "")}, "prompt='': must not be empty"),
        (SampleOptions, {**TO_FILES, "stream": True}, "output=audio: does not go with --stream"),
        (SampleOptions, {**TO_FILES, "reject": (0.4,)}, "reject=0.4: must be two numbers LOW,HI"),
        (BenchmarkOptions, {"seconds": float("nan")}, "seconds=nan: must be at least 0.1"),
        (BenchmarkOptions, {"hours": 2.0}, "hours=2: needs --what=data"),
        (ProcessOptions, {"coordinator": "x:1"}, "coordinator=x:1: needs num_processes and proc"),
        (ProcessOptions, {"process_id": 1}, "num_processes and process_id go with HOST:PORT only"),
    ],
)
def test_a_value_that_breaks_its_rule_is_one_sentence(kind, values, message):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        kind(**values)
    assert message in str(error.value)


def test_a_field_is_given_that_differs_from_its_default_or_was_set_on_purpose():
    options = SampleOptions(**TO_FILES, top_k=(5.0,), given=frozenset({"seed"}))
    given = {field.name for field in base.fields(SampleOptions) if options.is_given(field.name)}
    assert given == {"workdir", "output", "top_k", "seed"}


def test_what_is_given_on_purpose_goes_with_the_rest_too():
    with pytest.raises(ValueError, match="split=test: does not go with --audio"):
        EvaluateOptions(workdir="run", audio=("x.wav",), given=frozenset({"split"}))


def test_flags_of_options_are_json():
    flags = SampleOptions(**TO_FILES, temperature=(0.9, 1.0), prompt=("x.wav",)).as_flags()
    assert json.loads(json.dumps(flags)) == flags
    assert flags["temperature"] == ["0.9", "1"]
    assert flags["prompt"] == ["x.wav"]
    assert "schedule" not in flags
    assert SampleOptions.from_flags(flags).as_flags() == flags


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"workdir": "run", "sed": 1}, "sed=1: there is no such option"),
        ({"workdir": "run", "temperature": ["warm"]}, "temperature=warm: must be numbers"),
        ({"workdir": "run", "seed": -1}, "seed=-1: must be at least 0"),
    ],
)
def test_flags_that_are_no_options_are_named(flags, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        SampleOptions.from_flags(flags)


@pytest.mark.parametrize(
    ("values", "sequences"),
    [
        ({}, 4),
        ({"num_sequences": 2}, 2),
        ({"prompt": ("a", "b")}, 2),
        ({"prompt": ("a", "b"), "continuations": 3}, 6),
        ({"stream": True, "output": None}, 1),
    ],
)
def test_the_number_of_sequences_follows_from_the_rest(values, sequences):
    assert SampleOptions(**{**TO_FILES, **values}).sequences == sequences


def test_options_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SampleOptions(**TO_FILES).seed = 1


def test_a_setting_is_the_users_the_named_datasets_or_the_default():
    sc09 = DATASETS["sc09"].settings
    named = {"output": "x", "dataset": "sc09"}
    assert PrepareOptions(**named).settings(sc09, sc09.split_by) == sc09
    longer = PrepareOptions(**named, clip_s=BuildSettings().clip_s)
    assert longer.settings(sc09, "given").clip_s == sc09.clip_s
    on_purpose = PrepareOptions(**named, clip_s=BuildSettings().clip_s, given=frozenset({"clip_s"}))
    assert on_purpose.settings(sc09, "given").clip_s == BuildSettings().clip_s
    own = PrepareOptions(output="x", input=("y",), sample_rate=8000)
    assert own.settings(BuildSettings(), "clip") == BuildSettings(8000, split_by="clip")


def rules_of(kind, name):
    (field,) = (field for field in base.fields(kind) if field.name == name)
    return field.metadata["rules"]


def test_rules_are_those_of_modules_that_import_jax_and_are_not_imported_for_that():
    assert rules_of(EvaluateOptions, "split").choices == SPLITS
    assert rules_of(EvaluateOptions, "normalization").choices == NORMALIZATIONS
    assert rules_of(SampleOptions, "seed").most == MAX_SEED - 1


OTHER_TYPES = {
    "{'seed': '1'}": "seed='1': must be a whole number",
    "{'temperature': ['warm']}": "temperature=['warm']: must be a list",
    "{'temperature': 0.9}": "temperature=0.9: must be a list",
    "{'pictures': 1}": "pictures=1: must be true or false",
    "{'output': Path('out')}": "output=PosixPath('out'): must be text",
}

BUILD = """
from pathlib import Path
from samplernn_jax.jobs.options.sample import SampleOptions
for values in [{}]:
    try:
        SampleOptions(**dict(workdir="run") | values)
    except ValueError as error:
        print(error)
"""


def test_a_value_of_another_type_is_one_sentence():
    """In a process of its own, as the tests' own check of types comes first in this one."""
    program = BUILD.replace("{}", ", ".join(OTHER_TYPES))
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert told.stdout.splitlines() == [*OTHER_TYPES.values()]
