import dataclasses

import jax
import pytest

from samplernn_jax.data.dataset import Dataset
from samplernn_jax.devices import make_mesh
from samplernn_jax.training import plan
from samplernn_jax.training.plan import Cost
from samplernn_jax.training.plan_table import Measurement, live_samples_per_s, measure, table
from samplernn_jax.training.run import print_plan
from tests.tiny_models import TINY
from tests.training.runs import RATE, make_config

GIB = 2**30


@dataclasses.dataclass
class Machine:
    """One on which time goes by only while something is measured, and steps take what is said.

    Attributes:
        sample_s: seconds of a step for each sample in it.
        compile_s: seconds to compile a step.
        limit_bytes: of a device.
        runs_out_at: tokens of a step with which memory runs out although it should not.
        now: the clock.
        measured: rows and samples of what was measured.
    """

    sample_s: float
    compile_s: float = 2.0
    limit_bytes: int = 1000 * GIB
    runs_out_at: float = float("inf")
    now: float = 0.0
    measured: list = dataclasses.field(default_factory=list)

    def measure(self, config, mesh):
        samples = config.data.batch_size * (config.data.seq_len + TINY.overlap)
        self.measured.append((config.data.batch_size, config.data.seq_len))
        self.now += self.compile_s
        if samples >= self.runs_out_at:
            return None
        memory = GIB + samples * 2**20
        step_s = samples * self.sample_s
        if memory > self.limit_bytes:
            step_s = None
        else:
            self.now += 2 * step_s
        return Measurement(Cost(memory, memory // 2, self.limit_bytes, self.compile_s), step_s)

    def plan(self, data_path, live=1500.0, **data):
        """The lines before the table, the rows, and the sentences after it."""
        config = make_config(data_path, num_steps=1000)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, **data))
        mesh = make_mesh(jax.devices()[:1])
        lines = list(
            table(
                *(config, Dataset.open(data_path), mesh, self.measure),
                play=lambda model, rate: live,
                clock=lambda: self.now,
            )
        )
        header = next(i for i, line in enumerate(lines) if line.startswith("batch_size"))
        return lines[:header], [line.split() for line in lines[header + 1 : -3]], lines[-3:]


def plan_of(machine, data_path, **settings):
    return machine.plan(data_path, batch_size=8, seq_len=256, **settings)


def test_on_a_fast_machine_every_batch_size_is_measured(data_path):
    machine = Machine(sample_s=1e-5)
    before, rows, _ = plan_of(machine, data_path)
    assert machine.measured == [(2, 32), (2, 256), (4, 256), (8, 256), (16, 256), (32, 256)]
    assert before[1:3] == [
        "Measuring a step of 2 rows of 256 samples, about 2 s.",
        "Measuring a step of 4 rows of 256 samples, about 2 s.",
    ]
    assert [int(row[0]) for row in rows] == [2, 4, 8, 16, 32]
    assert not any("~" in word for row in rows for word in row)


@pytest.mark.parametrize("sample_s", [1e-4, 1e-3, 3e-3, 0.01, 0.03])
def test_a_slow_model_is_not_measured_beyond_the_budget(data_path, sample_s):
    """What is left is in proportion to the largest step that was measured, and marked."""
    machine = Machine(sample_s)
    _, rows, _ = plan_of(machine, data_path)
    assert machine.now <= 50
    measured = [rows for rows, seq_len in machine.measured if seq_len == 256]
    for row in rows:
        batch_size, (memory, _, step_s, *rest) = int(row[0]), row[1:]
        marks = [word.startswith("~") for word in (memory, step_s, rest[0], *rest[2:])]
        assert marks == [batch_size not in measured] * len(marks)
        assert float(step_s.strip("~")) == pytest.approx(batch_size * 260 * sample_s, rel=0.01)
        assert float(memory.strip("~")) == pytest.approx(1 + batch_size * 260 / 1024, rel=0.05)


def test_where_even_the_smallest_step_is_too_slow_there_is_a_row(data_path):
    machine = Machine(sample_s=1.0)  # a part of it takes more than the budget
    _, rows, sentences = plan_of(machine, data_path)
    assert machine.measured == [(2, 32)]
    assert [row[3] for row in rows] == ["~520", "~1.04e+03", "~2.08e+03", "~4.16e+03", "~8.32e+03"]
    assert sentences[0].startswith("Take --config.data.batch_size=8: it fits, and no whole step")


def test_a_row_has_the_time_of_the_whole_run(data_path):
    _, rows, sentences = plan_of(Machine(sample_s=1e-5), data_path)
    assert [row[-1] for row in rows] == ["00:05", "00:10", "00:20", "00:41", "01:23"]
    assert "its 1,000 steps take 00:05, without validation" in sentences[0]


def test_what_does_not_fit_is_neither_measured_nor_taken(data_path):
    machine = Machine(sample_s=1e-5, limit_bytes=3 * GIB)
    _, rows, sentences = plan_of(machine, data_path)
    assert machine.measured == [(2, 32), (2, 256), (4, 256), (8, 256)]
    assert rows[2][1:] == ["3.0", "GiB", "32", "MiB", "too", "much"]
    assert rows[3][1:] == ["~5.1", "GiB", "2.1", "GiB", "too", "much"]
    assert sentences[0].startswith("Take --config.data.batch_size=2: no other that fits")


def test_where_memory_runs_out_all_the_same_no_larger_batch_is_measured(data_path):
    machine = Machine(sample_s=1e-5, runs_out_at=8 * 260)
    _, rows, _ = plan_of(machine, data_path)
    assert machine.measured[-1] == (8, 256)
    assert [row[-3:] == ["too", "much", "memory"] for row in rows] == [False, False] + [True] * 3


def test_where_nothing_fits_it_says_what_to_change(data_path):
    _, rows, sentences = plan_of(Machine(sample_s=1e-5, limit_bytes=GIB), data_path)
    assert all(row[-2:] == ["too", "much"] for row in rows)
    assert sentences[0].startswith("No batch size fits into memory; raise parallel.microbatches")


def test_the_last_sentence_says_whether_the_model_plays_live(data_path):
    for rate, expected in (
        (1500.0, "plays live on this machine: it generates one sequence at 1,500 samples/s, 1.5 "),
        (110.0, "does not play live on this machine: it generates one sequence at 110 samples/s, "),
    ):
        _, _, sentences = plan_of(Machine(sample_s=1e-5), data_path, live=rate)
        assert expected in sentences[-1]
        assert sentences[-1].endswith("times real time at 1,000 Hz.")


def test_a_sequence_is_really_played():
    assert 1 < live_samples_per_s(TINY, RATE) < 1e8


def test_a_batch_size_that_does_not_fit_says_by_how_much(data_path, monkeypatch):
    monkeypatch.setattr(plan, "memory_of_device", lambda mesh: 2**10)
    lines = list(
        table(make_config(data_path), Dataset.open(data_path), make_mesh(), play=lambda *_: 1.0)
    )
    assert sum(line.endswith("KiB too much") for line in lines) == 3


@pytest.mark.slow
def test_the_plan_is_a_table_over_batch_sizes_and_trains_nothing(data_path):
    lines = []
    print_plan(make_config(data_path), lines.append)
    header = next(i for i, line in enumerate(lines) if line.startswith("batch_size"))
    assert lines[header].split()[:3] == ["batch_size", "memory/device", "s/step"]
    rows = [line.split() for line in lines[header + 1 : -3]]
    assert [int(row[0]) for row in rows] == [8, 16, 32]  # on eight devices
    assert [int(row[5]) for row in rows] == [75, 37, 19]
    assert lines[header - 1].startswith("Measuring a step of ")
    assert "real time at 1,000 Hz." in lines[-1]


def test_a_step_is_really_measured(data_path):
    measured = measure(make_config(data_path), make_mesh(jax.devices()[:1]))
    assert measured.cost.missing_bytes == 0
    assert measured.step_s > 0
