import contextlib
import json
import resource
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from samplernn_jax.sampling import output
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.schedules import Schedule
from tests.tiny_models import TINY, random_params

RATE = 8000


@pytest.fixture(scope="module")
def generator():
    return Generator(TINY, random_params(TINY), RATE)


def make_stream(generator, prompt=None):
    return generator.stream(jax.random.key(0), 2, 0.05, prompt=prompt)


def record(generator, folder, encoding="wav16", prompt=None, keep_prompt=False):
    heard = []
    stream = make_stream(generator, prompt)
    return output.record(stream, folder, 1000, encoding, keep_prompt, heard.append), heard


@pytest.mark.parametrize(
    ("encoding", "suffix", "subtype", "atol"),
    [
        ("wav16", "wav", "PCM_16", 2**-15),
        ("wav24", "wav", "PCM_24", 2**-23),
        ("wav_float", "wav", "FLOAT", 0),
        ("flac", "flac", "PCM_16", 2**-15),
    ],
)
def test_files_hold_what_was_generated(generator, tmp_path, encoding, suffix, subtype, atol):
    takes, progress = record(generator, tmp_path, encoding)
    assert progress == [400, 400, 200]
    stream = make_stream(generator)
    blocks = [(next(stream), stream.bits) for _ in range(3)]
    audio, bits = (np.concatenate(x, axis=1)[:, :1000] for x in zip(*blocks, strict=True))
    for take, waveform, of_take in zip(takes, audio, bits, strict=True):
        assert take.path == tmp_path / f"{take.number}.{suffix}"
        info = soundfile.info(take.path)
        assert (info.subtype, info.samplerate, info.channels) == (subtype, RATE, 1)
        np.testing.assert_allclose(soundfile.read(take.path)[0], waveform, rtol=0, atol=atol)
        assert take.bits_per_sample == pytest.approx(of_take.mean())
        parts = np.split(of_take, [400, 800])
        np.testing.assert_allclose(take.bits_over_time, [x.mean() for x in parts], rtol=1e-5)


def test_the_prompt_is_kept_if_it_is_to_be(generator, tmp_path):
    prompt = np.linspace(-0.5, 0.5, 100)
    (take, _), _ = record(generator, tmp_path, "wav_float", prompt, keep_prompt=True)
    waveform, _ = soundfile.read(take.path)
    assert len(waveform) == 1100
    np.testing.assert_allclose(waveform[:100], prompt, atol=1 / 15)
    (without, _), _ = record(generator, tmp_path, "wav_float", prompt)
    np.testing.assert_array_equal(soundfile.read(without.path)[0], waveform[100:])


def test_the_level_stays_unless_normalization_is_asked_for(generator, tmp_path):
    takes, _ = record(generator, tmp_path, "wav_float", keep_prompt=False)
    exact = [soundfile.read(take.path)[0] for take in takes]
    louder = [output.normalize(take, "wav24") for take in takes]
    assert set(tmp_path.iterdir()) == {loud.path for loud in louder}
    for before, loud in zip(exact, louder, strict=True):
        after = soundfile.read(loud.path)[0]
        assert np.abs(after).max() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(after, before / np.abs(before).max(), atol=1e-6)
        assert soundfile.info(loud.path).subtype == "PCM_24"


def test_names_say_step_strategy_prompts_and_seed(generator):
    rising = Schedule((0.0, 1.0), (0.8, 1.2))
    settings = generator.stream(jax.random.key(0), 1, 0.05, rising, top_k=40).settings
    prompts = [Path("in/a.b.wav"), Path("in/a.b.wav"), Path("c.flac")]
    name = output.prefix(3000, settings, prompts[:2], 7)
    assert name == "step_3000_temperature_0.8-1.2_top_k_40_after_a.b_seed_7"
    assert output.prefix(3000, settings, prompts, 7) == name.replace("a.b", "2_prompts")
    assert output.prefix(3000, settings, [], 7) == name.replace("after_a.b_", "")
    longest = output.prefix(3000, settings, [Path("\U0001d11e" * 60 + ".wav")], 7)
    assert len(longest.encode()) < 200


def test_what_was_interrupted_leaves_nothing(generator, tmp_path):
    def interrupt(length):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        output.record(make_stream(generator), tmp_path, 1000, "wav16", False, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_told_before_anything_is_done(tmp_path):
    told = output.check_size(tmp_path / "new" / "deeper", 4, 90 * 16_000, 16_000, "wav16", True)
    assert told == "4 x 90 s (11 MiB)"
    assert not (tmp_path / "new").exists()


def test_no_more_files_are_written_than_may_be_open(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    for num_processes in (1, 3):
        most = 128 * num_processes
        output.check_num_files(most, num_processes)
        with pytest.raises(ValueError, match=f"={most + 1}: must be at most {most}, as a process"):
            output.check_num_files(most + 1, num_processes)


HOW = {
    **{"flags": {"seed": 1, "output": "a"}, "model_sha256": "x", "settings": {}, "prompts": {}},
    "model": {"dim": 8, "matmul_precision": "highest"},
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(HOW | {"flags": {"seed": 1, "output": "b"}}), None),
        (json.dumps(HOW | {"flags": {"seed": 2, "top_k": 9}}), "with another seed and top_k;"),
        (json.dumps(HOW | {"model_sha256": "y"}), "were made with another model_sha256;"),
        (json.dumps(HOW | {"model": {"dim": 8}}), None),
        (
            json.dumps(HOW | {"model": {"dim": 8, "matmul_precision": "default"}}),
            "were made with another model.matmul_precision;",
        ),
        (json.dumps({name: HOW[name] for name in HOW if name != "model"}), None),
        (json.dumps({"flags": {}}), "does not tell how files were made"),
        (json.dumps({"flags": HOW["flags"]}), "does not tell how files were made"),
        ("[]", "does not tell how files were made"),
        ("{", "does not tell how files were made"),
    ],
)
def test_files_are_replaced_only_by_what_is_made_in_the_same_way(tmp_path, content, message):
    (tmp_path / "how.json").write_text(content)
    refused = pytest.raises(ValueError, match=message) if message else contextlib.nullcontext()
    with refused:
        output.check_replaceable(tmp_path / "how.json", HOW, ["x_0.wav"], {"output"})


@pytest.mark.parametrize("name", ["x_[0].wav", "rank_3_x_[0].wav"])
def test_files_that_nothing_tells_of_are_not_replaced(tmp_path, name):
    check = partial(output.check_replaceable, tmp_path / "how.json", HOW, ["x_[0].wav"], set())
    check()
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"x_\[0\]\.wav: is there already; choose"):
        check()


@pytest.mark.parametrize(
    ("seconds", "encoding", "normalize", "message"),
    [
        (
            10**6,
            "wav16",
            False,
            r"1 x 11.6 days \(29.8 GiB\) is too long, .* file holds 4.0 GiB; ",
        ),
        (
            10**5,
            "flac",
            True,
            r"normalize: 1 x 27.8 hours \(3.0 GiB\) is .* long, .* of 6.0 GiB in",
        ),
        (10**12, "flac", False, r"1 x 31,688.1 years \(.*\) at 16000 Hz has no room, .* free"),
    ],
)
def test_what_has_no_room_is_refused(tmp_path, seconds, encoding, normalize, message):
    with pytest.raises(ValueError, match=message):
        output.check_size(tmp_path, 1, seconds * 16_000, 16_000, encoding, normalize)
