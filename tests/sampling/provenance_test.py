import contextlib
import json
from functools import partial
from pathlib import Path

import jax
import pytest

from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.provenance import check_replaceable, prefix
from samplernn_jax.sampling.schedules import Schedule
from tests.tiny_models import TINY, random_params


def test_names_say_step_strategy_prompts_and_seed():
    generator = Generator(TINY, random_params(TINY), 8000)
    rising = Schedule((0.0, 1.0), (0.8, 1.2))
    settings = generator.stream(jax.random.key(0), 1, 0.05, rising, top_k=40).settings
    prompts = [Path("in/a.b.wav"), Path("in/a.b.wav"), Path("c.flac")]
    name = prefix(3000, settings, prompts[:2], 7)
    assert name == "step_3000_temperature_0.8-1.2_top_k_40_after_a.b_seed_7"
    assert prefix(3000, settings, prompts, 7) == name.replace("a.b", "2_prompts")
    assert prefix(3000, settings, [], 7) == name.replace("after_a.b_", "")
    longest = prefix(3000, settings, [Path("\U0001d11e" * 60 + ".wav")], 7)
    assert len(longest.encode()) < 200


HOW = {
    **{
        "flags": {"seed": 1, "output": "a", "temperature": ["1"]},
        "model_sha256": "x",
        "settings": {},
        "prompts": {},
    },
    "model": {"dim": 8, "matmul_precision": "highest"},
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(HOW | {"flags": {"seed": 1, "output": "b", "temperature": ["1"]}}), None),
        (
            json.dumps(HOW | {"flags": {"seed": 2, "top_k": 9, "temperature": ["1"]}}),
            "with another seed and top_k;",
        ),
        (json.dumps(HOW | {"model_sha256": "y"}), "were made with another model_sha256;"),
        (json.dumps(HOW | {"model": {"dim": 8}}), None),
        (
            json.dumps(HOW | {"model": {"dim": 8, "matmul_precision": "default"}}),
            "were made with another model.matmul_precision;",
        ),
        (json.dumps({name: HOW[name] for name in HOW if name != "model"}), None),
        (json.dumps({"flags": {}}), "is not a file of this command"),
        (json.dumps({"flags": HOW["flags"]}), "is not a file of this command"),
        (json.dumps(HOW | {"flags": {"seed": 1, "temperature": ["1.0"]}}), None),
        (json.dumps(HOW | {"flags": {"seed": 1, "temperature": ["2"]}}), "another temperature;"),
        ("[]", "is not a file of this command"),
        ("{", "is not a file of this command"),
    ],
)
def test_files_are_replaced_only_by_what_is_made_in_the_same_way(tmp_path, content, message):
    (tmp_path / "how.json").write_text(content)
    refused = pytest.raises(ValueError, match=message) if message else contextlib.nullcontext()
    with refused:
        check_replaceable(tmp_path / "how.json", HOW, ["x_0.wav"], {"output"})


@pytest.mark.parametrize("name", ["x_[0].wav", "rank_3_x_[0].wav"])
def test_files_that_nothing_tells_of_are_not_replaced(tmp_path, name):
    check = partial(check_replaceable, tmp_path / "how.json", HOW, ["x_[0].wav"], set())
    check()
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"x_\[0\]\.wav: exists already; choose"):
        check()
