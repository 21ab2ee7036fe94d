import pytest

from tests import permissions
from tests.experiments.commands import ROOT, TINY, call, run
from tests.experiments.mistakes import MISTAKES


@pytest.fixture(scope="session")
def places(recordings, dataset, other_rate, workdir, checkpoint, recipes, odd, damaged):
    return {
        "root": ROOT,
        "checkpoint": checkpoint,
        "evil": checkpoint.with_name("evil.pkl"),
        "recordings": recordings,
        "dataset": dataset,
        "other_rate": other_rate,
        "workdir": workdir,
        "recipes": recipes,
        "odd": odd,
        "damaged": damaged,
        "tiny": " ".join([f"--config.data.path={dataset}", *TINY]),
    }


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(mistake, places, tmp_path):
    name, *flags = mistake.format(**places, tmp=tmp_path).split()
    if name == "train" and "--workdir" not in mistake:
        flags.append(f"--workdir={tmp_path / 'run'}")
    with permissions.obeyed():
        code, _, errors = call(name, *flags)
    assert code == 2, errors
    assert errors.startswith("error: ")
    assert len(errors.strip().splitlines()) == 1
    assert MISTAKES[mistake].format(**places, tmp=tmp_path) in errors
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_is_the_same_in_a_process_of_its_own(tmp_path):
    command = ("evaluate", f"--workdir={tmp_path}")
    assert run(*command) == call(*command)
