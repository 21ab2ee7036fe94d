import dataclasses
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax.models.options import MATMUL_PRECISIONS
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.schedules import Schedule
from samplernn_jax.sampling.stream import Stream
from tests.tiny_models import TINY, TINY_WAVENET, VARIANTS, random_params

RATE = 100


def make_generator(config=TINY, seed=0, devices=None):
    return Generator(config, random_params(config, seed), RATE, devices=devices)


@pytest.mark.parametrize(
    ("config", "block_s"),
    [
        (TINY, 0.05),
        (TINY_WAVENET, 0.13),
        pytest.param(TINY, 0.13, marks=pytest.mark.slow),
        pytest.param(VARIANTS["1tier"], 0.05, marks=pytest.mark.slow),
        pytest.param(VARIANTS["4tier_lstm"], 0.13, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_stream_goes_on_with_the_very_next_sample(config, block_s, tmp_path):
    generator = make_generator(config)
    options = {
        "temperature": [Schedule((0.0, 1.0), (0.5, 2.0)), 1.0, 0.9],
        "top_p": 0.9,
        "prompt": np.linspace(-0.9, 0.9, 11),
    }
    stream = generator.stream(jax.random.key(3), 3, block_s, **options)
    for _ in range(3):
        next(stream)
    stream.save(tmp_path / "state.npz")
    expected = [(next(stream), stream.bits) for _ in range(5)]
    resumed = make_generator(config).resume(tmp_path / "state.npz")
    for block, bits in expected:
        np.testing.assert_array_equal(next(resumed), block)
        np.testing.assert_array_equal(resumed.bits, bits)
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


def test_a_stream_may_be_resumed_on_other_devices(tmp_path):
    with jax.enable_x64():
        eight = make_generator(devices=jax.devices())
        stream = eight.stream(jax.random.key(3), 5, 0.1)
        next(stream)
        stream.save(tmp_path / "state.npz")
        resumed = make_generator(devices=jax.devices()[:2]).resume(tmp_path / "state.npz")
        np.testing.assert_array_equal(next(resumed)[:, :5], next(stream)[:, :5])


def test_saving_changes_nothing(tmp_path):
    undisturbed = make_generator().stream(jax.random.key(3), 2, 0.07)
    stream = make_generator().stream(jax.random.key(3), 2, 0.07)
    for number in range(4):
        np.testing.assert_array_equal(next(stream), next(undisturbed))
        stream.save(tmp_path / f"{number}.npz")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.npz", r"none\.npz: cannot be read \(No such file"),
        ("text.npz", r"text\.npz: is not a saved state, or damaged"),
        ("cut.npz", r"cut\.npz: is not a saved state, or damaged"),
        ("other.npz", r"other\.npz: is not a saved state, or damaged"),
        ("state.npz", r"state\.npz: is the state of another model or checkpoint"),
    ],
)
def test_a_state_that_does_not_fit_is_named(tmp_path, name, message):
    make_generator().stream(jax.random.key(3), 2, 0.07).save(tmp_path / "state.npz")
    content = (tmp_path / "state.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.npz").write_text("no state")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=message):
        make_generator(seed=1).resume(tmp_path / name)


def test_a_state_is_of_one_sample_rate(tmp_path):
    make_generator().stream(jax.random.key(3), 2, 0.07).save(tmp_path / "state.npz")
    with pytest.raises(ValueError, match="is the state of another model"):
        Generator(TINY, random_params(TINY), 2 * RATE).resume(tmp_path / "state.npz")


BEFORE = [
    (TINY, "8be268d8a41cf1dd4dcbe3dcbcd3385077b7893970df5771f580fa9f7dfd858d"),
    (TINY_WAVENET, "ff76ebc18a1c22c155e0e45c943e99550efdd64d5473212c571b089f60eebb1f"),
]


@pytest.mark.parametrize(("config", "fingerprint"), BEFORE, ids=["samplernn", "wavenet"])
def test_states_from_before_there_was_a_precision_go_on_with_any(config, fingerprint):
    ones = jax.tree.map(jnp.ones_like, random_params(config))
    for precision in MATMUL_PRECISIONS:
        model = dataclasses.replace(config, matmul_precision=precision)
        assert Generator(model, ones, RATE).fingerprint == fingerprint


def test_a_state_of_another_version_says_so(tmp_path):
    np.savez(tmp_path / "state.npz", version=1, fingerprint="")
    with pytest.raises(ValueError, match="has version 1, not 2"):
        make_generator().resume(tmp_path / "state.npz")


def test_any_number_of_samples_may_be_taken(tmp_path):
    stream, undisturbed = (make_generator().stream(jax.random.key(3), 2, 0.07) for _ in range(2))
    expected = np.concatenate([*undisturbed.blocks(50)], axis=1)
    lengths = [1, 13, 7, 20]
    parts = [stream.take(length) for length in lengths]
    assert [part.shape[1] for part in parts] == lengths
    assert stream.bits.shape == (2, 20)
    stream.save(tmp_path / "state.npz")
    parts.append(make_generator().resume(tmp_path / "state.npz").take(9))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), expected)


@pytest.mark.parametrize("num_samples", [0, -1])
def test_some_samples_must_be_taken(num_samples):
    with pytest.raises(ValueError, match=f"num_samples={num_samples}: must be at least 1"):
        make_generator().stream(jax.random.key(3), 1, 0.07).take(num_samples)


@pytest.mark.parametrize("then", ["go on", "save"])
def test_an_interruption_while_a_block_is_decoded_loses_nothing(then, monkeypatch, tmp_path):
    stream, undisturbed = (make_generator().stream(jax.random.key(3), 2, 0.07) for _ in range(2))
    expected = [next(undisturbed) for _ in range(3)]
    np.testing.assert_array_equal(next(stream), expected[0])
    with monkeypatch.context() as patched:
        patched.setattr(Stream, "_fetch", Mock(side_effect=KeyboardInterrupt))
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                next(stream)
    if then == "save":
        stream.save(tmp_path / "state.npz")
        stream = make_generator().resume(tmp_path / "state.npz")
    np.testing.assert_array_equal(next(stream), expected[1])
    np.testing.assert_array_equal(next(stream), expected[2])


def test_a_state_with_a_damaged_byte_is_resumed_or_refused_with_a_sentence(tmp_path):
    generator = make_generator()
    generator.stream(jax.random.key(3), 1, 0.07).save(tmp_path / "state.npz")
    content, refused = (tmp_path / "state.npz").read_bytes(), 0
    for place in np.random.default_rng(0).integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(place) % 8
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            generator.resume(tmp_path / "damaged.npz")
        except ValueError as error:
            assert "damaged.npz: is" in str(error) or "has version" in str(error)
            refused += 1
    assert refused > 200
