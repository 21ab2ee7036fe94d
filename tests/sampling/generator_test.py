import gc
import itertools
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samplernn_jax import quantization
from samplernn_jax.devices import mesh_of_rows
from samplernn_jax.models.interface import architecture
from samplernn_jax.sampling.engines.scan import block_step
from samplernn_jax.sampling.generator import Generator
from samplernn_jax.sampling.schedules import Schedule
from tests.tiny_models import TINY, TINY_WAVENET, VARIANTS, apply, random_params

RATE = 100
ONE_TIER = VARIANTS["1tier"]


@pytest.fixture(scope="module")
def generator():
    return Generator(TINY, random_params(TINY), RATE)


def key():
    return jax.random.key(7)


def test_shape_range_and_dtype(generator):
    audio = generator.generate(key(), num_sequences=3, duration_s=0.57)
    assert audio.shape == (3, 57)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() <= 1
    assert audio.std() > 0.1


def test_same_key_same_audio_bit_for_bit(generator):
    first = generator.generate(key(), 2, 0.5)
    np.testing.assert_array_equal(generator.generate(key(), 2, 0.5), first)
    assert (generator.generate(jax.random.key(8), 2, 0.5) != first).any()


@pytest.mark.parametrize(
    "config",
    [TINY, *(pytest.param(config, marks=pytest.mark.slow) for config in (ONE_TIER, TINY_WAVENET))],
)
def test_sequences_depend_neither_on_how_many_there_are_nor_on_the_devices(config):
    """To the last token in double precision, contract 7."""
    with jax.enable_x64():
        params = jax.tree.map(lambda x: x.astype(np.float64), random_params(config))
        one = Generator(config, params, RATE, devices=jax.devices()[:1])
        eight = Generator(config, params, RATE, devices=jax.devices())
        assert len(jax.devices()) == 8
        many = one.generate(key(), num_sequences=16, duration_s=0.7)
        for number in (1, 9):
            for generator in (one, eight):
                fewer = generator.generate(key(), num_sequences=number, duration_s=0.7)
                np.testing.assert_array_equal(fewer, many[:number])
    assert len(np.unique(many, axis=0)) == 16


def test_in_single_precision_they_agree_up_to_where_rounding_decides(generator):
    many = generator.generate(key(), num_sequences=16, duration_s=0.7)
    alone = Generator(TINY, random_params(TINY), RATE, devices=jax.devices()[:1])
    one = alone.generate(key(), num_sequences=1, duration_s=0.7)
    np.testing.assert_array_equal(one[0, :30], many[0, :30])


def test_a_part_of_the_sequences_is_what_the_whole_has_of_them(generator):
    prompts = [np.linspace(-0.9, 0.9, 8), np.linspace(0.9, -0.9, 5)]
    options = {"prompt": prompts, "temperature": [0.5, 1.0, 1.5, 2.0]}
    whole = next(generator.stream(key(), 4, 0.2, **options))
    for index, rows in enumerate([[0, 1], [2], [3]]):
        stream = generator.stream(key(), 4, 0.2, **options, part=(index, 3))
        np.testing.assert_array_equal(stream.numbers, rows)
        np.testing.assert_array_equal(next(stream), whole[rows])
    with pytest.raises(ValueError, match="num_sequences=2: must be at least one for each of 3"):
        generator.stream(key(), 2, 0.2, part=(2, 3))


@pytest.mark.parametrize("block_s", [0.01, 0.13, 0.8])
def test_streamed_blocks_joined_are_what_generate_returns(generator, block_s):
    whole = generator.generate(key(), 2, 2.3)
    blocks = itertools.islice(generator.stream(key(), 2, block_s), round(2.3 / block_s + 1))
    streamed = np.concatenate(list(blocks), axis=1)
    np.testing.assert_array_equal(streamed[:, :230], whole)


def test_one_program_makes_audio_of_any_duration(generator, caplog):
    audio = generator.generate(key(), 2, 1.0)
    with jax.log_compiles():
        for duration_s in (1.1, 1.2, 0.03):
            other = generator.generate(key(), 2, duration_s)
            both = min(other.shape[1], audio.shape[1])
            np.testing.assert_array_equal(other[:, :both], audio[:, :both])
    assert [line for line in caplog.messages if "XLA compilation" in line] == []


def test_zero_temperature_is_greedy_and_needs_no_luck(generator):
    np.testing.assert_array_equal(
        generator.generate(key(), 1, 0.5, temperature=0.0),
        generator.generate(jax.random.key(99), 1, 0.5, temperature=0.0),
    )


@pytest.mark.parametrize("temperature", [1e-9, 1e-12, 1e-30, 1e-40])
def test_the_lower_the_temperature_the_nearer_to_greedy(generator, temperature):
    np.testing.assert_array_equal(
        generator.generate(key(), 2, 0.5, temperature=temperature),
        generator.generate(key(), 2, 0.5, temperature=0.0),
    )


@pytest.mark.parametrize("config", [TINY, ONE_TIER, TINY_WAVENET])
@pytest.mark.parametrize("length", [1, 3, 4, 9])
def test_a_prompt_may_have_any_length(config, length):
    generator = Generator(config, random_params(config), RATE)
    prompt = np.linspace(-0.9, 0.9, length)
    assert generator.generate(key(), 1, 0.2, prompt=prompt).shape == (1, 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_sequences": 0}, "num_sequences=0: must be at least 1"),
        ({"duration_s": 0.001}, "duration_s=0.001: must be at least one sample long"),
        ({"temperature": -0.5}, "temperature=-0.5: must be at least 0"),
        ({"temperature": float("nan")}, "temperature=nan: must be at least 0"),
        ({"temperature": [1.0, 1.0]}, "temperature: must be one value or one for each of the 1"),
        ({"top_k": 0}, "top_k=0: must be at least 1"),
        ({"top_p": 0.0}, "top_p=0: must be greater than 0 and at most 1"),
        ({"top_p": 1.5}, "top_p=1.5: must be greater than 0 and at most 1"),
        ({"prompt": np.zeros(0)}, "prompt array: holds no audio"),
        (
            {"prompt": [np.ones(9), np.ones(9)], "num_sequences": 3},
            "num_sequences=3: must be a multiple of the 2 prompts",
        ),
        (
            {"prompt": np.ones(9), "random_state": True},
            "random_state=True: needs a model with RNNs",
        ),
        (
            {"prompt": [np.ones(9), np.ones(8)], "keep_prompt": True},
            r"keep_prompt=True: the prompts must be equally long, got \[8, 9\] samples",
        ),
        ({"keep_prompt": True}, "keep_prompt=True: there is no prompt"),
    ],
)
def test_a_bad_argument_is_named(generator, arguments, message):
    with pytest.raises(ValueError, match=message):
        generator.generate(key(), **arguments)


def test_a_bad_block_length_is_named(generator):
    with pytest.raises(ValueError, match=r"block_s=1e\+09: must be at most 41943"):
        generator.stream(key(), block_s=1e9)
    with pytest.raises(ValueError, match=r"block_s=0.0: must be at least one sample long"):
        generator.stream(key(), block_s=0.0)


def test_sequences_that_do_not_fit_are_counted_with_prompts_and_in_this_process(
    generator, monkeypatch
):
    """The memory is what two sequences of 10 s take."""
    in_all = 4 * 2 * (3 * 10 * RATE + architecture(TINY).state_size)
    limit = -(-in_all // len(jax.devices()))
    monkeypatch.setattr("samplernn_jax.sampling.generator.memory_of_device", lambda mesh: limit)
    prompts = [np.full(9, 0.5)] * 3
    assert len(generator.generate(key(), duration_s=10.0, prompt=prompts[:2])) == 2
    with pytest.raises(ValueError, match="num_sequences=3: takes at least"):
        generator.generate(key(), duration_s=10.0, prompt=prompts)
    with pytest.raises(ValueError, match="num_sequences=3: takes at least"):
        generator.stream(key(), block_s=10.0, prompt=prompts)
    assert len(generator.stream(key(), 3, 10.0, prompt=prompts, part=(0, 2)).numbers) == 2


def test_each_prompt_is_continued_as_often(generator):
    low, high = np.full(12, -0.8), np.full(12, 0.8)
    audio = generator.generate(key(), 4, 0.5, prompt=[low, high], keep_prompt=True)
    assert audio.shape == (4, 62)
    heard = generator.generate(key(), 1, 0.1, prompt=low, keep_prompt=True)[0, :12]
    np.testing.assert_array_equal(audio[0, :12], heard)
    np.testing.assert_array_equal(audio[1, :12], heard)
    assert (audio[2:, :12] > 0.7).all()
    without = generator.generate(key(), 4, 0.5, prompt=[low, high])
    np.testing.assert_array_equal(without, audio[:, 12:])
    assert len(np.unique(without, axis=0)) == 4


def test_what_was_generated_is_continued_as_if_it_had_not_been_cut(generator):
    """With the noise that comes next, the stream goes on; the prompt leads to the same state."""
    stream = generator.stream(key(), 2, 0.12)
    first = next(stream)
    np.testing.assert_allclose(
        next(generator.stream(key(), 2, 0.12, 0.0, prompt=list(first)))[:, 0],
        [greedy_next(generator, row) for row in first],
    )


def greedy_next(generator, waveform):
    tokens = quantization.encode(waveform, TINY.q_levels, TINY.q_type)
    tokens = np.pad(tokens, (TINY.overlap, TINY.overlap), constant_values=TINY.q_zero)
    logits, _ = apply(TINY, random_params(TINY), jnp.asarray(tokens[None]))
    token = np.asarray(logits[0, len(waveform)]).argmax()
    return quantization.decode(token[None].astype(np.int32), TINY.q_levels, TINY.q_type)[0]


def test_random_states_change_what_follows_silence(generator):
    learned, drawn = (generator.stream(key(), 3, 0.2, random_state=x) for x in (False, True))
    next(learned), next(drawn)
    differences = np.abs(learned.bits - drawn.bits).max(axis=1)
    assert (differences > 1e-3).all()
    assert len(np.unique(differences)) == 3


def test_a_schedule_changes_the_temperature_in_time_whatever_the_blocks(generator):
    falling = Schedule((0.2, 0.3), (3.0, 0.0))
    audio = generator.generate(key(), 2, 0.8, temperature=falling)
    hot = generator.generate(key(), 2, 0.8, temperature=3.0)
    np.testing.assert_array_equal(audio[:, :20], hot[:, :20])
    greedy = generator.generate(key(), 1, 0.5, 0.0, prompt=audio[0, :32])
    np.testing.assert_array_equal(audio[0, 32:], greedy[0, :48])
    blocks = generator.stream(key(), 2, 0.07, falling)
    streamed = np.concatenate([next(blocks) for _ in range(12)], axis=1)
    np.testing.assert_array_equal(streamed[:, :80], audio)


def test_sequences_may_have_strategies_of_their_own(generator):
    audio = generator.generate(key(), 3, 0.5, [0.0, 1.0, 1.0], top_k=[16, 1, 16])
    np.testing.assert_array_equal(audio[0], audio[1])
    assert (audio[2] != audio[1]).any()
    np.testing.assert_array_equal(audio[2], generator.generate(key(), 3, 0.5)[2])


def test_many_blocks_are_decoded_by_one_program_in_constant_memory(generator):
    """The blocks hold 3 MB of tokens and bits, of 375,000 samples."""
    stream = generator.stream(key(), 1, 25.0)
    for _ in range(60):
        next(stream)
    step = block_step(TINY, mesh_of_rows(1, jax.devices()), 100 * RATE // 4, RATE)
    programs, arrays = step._cache_size(), len(jax.live_arrays())
    gc.collect()
    tracemalloc.start()
    for _ in range(150):
        next(stream)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after < 300_000
    assert len(jax.live_arrays()) <= arrays
    assert step._cache_size() == programs
