import json

import numpy as np
import pytest

from tests.encoded import encode
from tests.experiments.commands import call, call_well, run_well


def result_of(output):
    return json.loads(output.splitlines()[-1])


def test_evaluate_ends_with_one_json_object(workdir):
    code, output, errors = call("evaluate", f"--workdir={workdir}", "--split=valid")
    assert code == 0
    result = result_of(output)
    assert set(result) == {
        "bits_per_sample",
        "average",
        "num_samples",
        "split",
        "step",
        "histogram_bits",
        "bigram_bits",
    }
    assert result["split"] == "valid"
    assert result["step"] in (10, 20)
    assert 0 < result["bits_per_sample"] < 12
    first, _ = output.splitlines()
    assert first.startswith(f"{result['bits_per_sample']:.3f} bits per sample on valid (histogram")
    begun = f"Evaluating step {result['step']} of {workdir} on valid, {result['num_samples']:,} "
    assert errors == f"{begun}samples.\n"


def test_evaluation_does_not_depend_on_devices_and_batches(workdir):
    """Of 8 devices here, and of 2."""
    first = result_of(call_well("evaluate", f"--workdir={workdir}"))
    other_batches = ("--batch_size=10", "--seq_len=64")
    other = result_of(run_well("evaluate", f"--workdir={workdir}", *other_batches, devices=2))
    assert other.pop("bits_per_sample") == pytest.approx(first.pop("bits_per_sample"), abs=1.5e-6)
    assert other == first


def test_the_mean_of_batches_is_there_to_be_compared(workdir):
    result = result_of(call_well("evaluate", f"--workdir={workdir}", "--average=batches"))
    assert result["average"] == "batches"
    assert 0 < result["bits_per_sample"] < 12


def test_evaluate_scores_what_libsndfile_cannot_read_and_prints_notes(workdir, tmp_path):
    file = tmp_path / "x.m4a"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8000))
    encode(file, [*noise], 16_000, "aac", "ipod")
    code, output, errors = call("evaluate", f"--workdir={workdir}", f"--audio={file}")
    assert code == 0, errors
    assert errors == f"note: {file} has 2 audio streams; the first is used.\n"
    (scored,) = result_of(output)["files"]
    assert output.splitlines()[0] == f"{file}: {scored['bits_per_sample']:.3f} bits per sample"
    assert scored["file"] == str(file)
    assert scored["num_samples"] == 4000
    assert 0 < scored["bits_per_sample"] < 12
