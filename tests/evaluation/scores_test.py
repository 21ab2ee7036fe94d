import jax
import numpy as np
import pytest

from samplernn_jax import quantization
from samplernn_jax.evaluation import scores
from samplernn_jax.models import teacher_forcing
from samplernn_jax.sampling.generator import Generator
from tests import reference
from tests.tiny_models import TINY, TINY_WAVENET, VARIANTS, random_params

RATE = 100


@pytest.mark.parametrize("config", [TINY, VARIANTS["1tier"], VARIANTS["4tier_lstm"], TINY_WAVENET])
def test_what_was_generated_scores_as_it_did_while_it_was_drawn(config):
    stream = Generator(config, random_params(config), RATE).stream(jax.random.key(0), 3, 0.53)
    audio = next(stream)
    assert stream.bits.shape == audio.shape
    score = Generator(config, random_params(config), RATE).score(audio)
    np.testing.assert_allclose(score, stream.bits, atol=1e-4)


def test_a_score_is_the_bits_of_an_independent_implementation():
    tokens = np.random.default_rng(0).integers(0, TINY.q_levels, 10)
    audio = quantization.decode(tokens.astype(np.int32), TINY.q_levels, TINY.q_type)[None]
    bits = Generator(TINY, random_params(TINY), RATE).score(audio)
    clip = np.concatenate([np.full(TINY.overlap, TINY.q_zero), tokens, [0, 0]])
    logits, _ = reference.forward(TINY, random_params(TINY), clip)
    assert bits.mean() == pytest.approx(reference.bits(logits[:10], tokens), rel=1e-5)


def test_long_audio_is_scored_in_segments_with_the_carry_carried(monkeypatch):
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 50)).astype(np.float32)
    whole = Generator(TINY, random_params(TINY), RATE).score(audio)
    monkeypatch.setattr(scores, "_SEGMENT_SAMPLES", 8)
    in_segments = Generator(TINY, random_params(TINY), RATE).score(audio)
    np.testing.assert_allclose(in_segments, whole, atol=1e-5)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_many_sequences_are_scored_a_few_at_a_time(num_devices, monkeypatch):
    audio = np.random.default_rng(0).uniform(-1, 1, (9, 30)).astype(np.float32)
    devices = jax.devices()[:num_devices]
    generator = Generator(TINY, random_params(TINY), RATE, devices=devices)
    at_once, shapes, run = generator.score(audio), [], teacher_forcing.run

    def recorded(step, params, carry, segments):
        segments = list(segments)
        shapes.extend(segment.tokens.shape for segment in segments)
        return run(step, params, carry, segments)

    monkeypatch.setattr(scores, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(teacher_forcing, "run", recorded)
    np.testing.assert_allclose(generator.score(audio), at_once, atol=1e-5)
    assert len(set(shapes)) == 1, "one program does"
    assert shapes[0][0] <= 2 * num_devices


def test_a_score_does_not_depend_on_the_devices():
    audio = np.random.default_rng(0).uniform(-1, 1, (5, 30)).astype(np.float32)
    one = Generator(TINY, random_params(TINY), RATE, devices=jax.devices()[:1]).score(audio)
    eight = Generator(TINY, random_params(TINY), RATE, devices=jax.devices()).score(audio)
    np.testing.assert_allclose(eight, one, atol=1e-5)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 0), np.float32), r"audio of shape \[2, 0\]: must be .*, not empty"),
        (np.full((1, 9), np.nan, np.float32), "audio: holds a value that is not a finite number"),
    ],
)
def test_what_is_no_audio_cannot_be_scored(audio, message):
    with pytest.raises(ValueError, match=message):
        Generator(TINY, random_params(TINY), RATE).score(audio)


def test_means_over_time_are_of_blocks():
    bits = np.arange(10, dtype=np.float32).reshape(2, 5)
    np.testing.assert_array_equal(
        scores.means_over_time(bits, 2), np.array([[0.5, 2.5, 4], [5.5, 7.5, 9]])
    )


def test_the_tails_of_the_order_are_dropped():
    order = scores.likeliest_first(np.array([3.0, 1.0, 2.0, 5.0, 4.0], np.float32))
    assert order == [1, 2, 0, 4, 3]
    assert scores.without_tails(order, 0.4, 0.2) == [2, 0]
    assert scores.without_tails(order, 0.0, 0.0) == order


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [(1.0, 0.0, "low=1 must be"), (0.0, -0.1, "high=-0.1 must be"), (0.5, 0.5, "leaves none of 4")],
)
def test_tails_that_leave_nothing_are_refused(low, high, message):
    with pytest.raises(ValueError, match=message):
        scores.without_tails([0, 1, 2, 3], low, high)
