import numpy as np
import pytest

from samplernn_jax.evaluation.baselines import Baselines
from samplernn_jax.training.health import audio_warnings, bits_warnings

WITHOUT_MODEL = Baselines(histogram_bits=6.0, bigram_bits=4.0)


def entries(valid, train):
    return [
        entry
        for step, (valid_bits, train_bits) in enumerate(zip(valid, train, strict=True), 1)
        for entry in (
            {"step": step, "train_bits": train_bits},
            {"step": step, "valid_bits": valid_bits},
        )
    ]


@pytest.mark.parametrize(
    ("valid", "train", "expected"),
    [
        ([3.0, 2.5, 2.6, 2.7, 2.8], [3.0, 2.5, 2.3, 2.1, 2.0], "memorises the recordings"),
        ([3.0, 2.5, 2.6, 2.55, 2.8], [3.0, 2.5, 2.3, 2.1, 2.0], None),  # wavers
        ([3.0, 2.5, 2.501, 2.502, 2.503], [3.0, 2.5, 2.3, 2.1, 2.0], None),  # hardly rises
        ([3.0, 2.5, 2.6, 2.7, 2.8], [3.0, 2.5, 2.6, 2.7, 2.8], None),  # both rise
        ([3.0], [3.0], None),
        ([6.5, 6.1, 5.99], [6.5, 6.1, 5.98], "still at the histogram's 6.000 bits"),
        ([6.5, 6.1], [6.5, 6.1], None),  # too early to say
        ([6.5, 6.1, 5.5], [6.5, 6.1, 5.5], None),
        ([], [], None),
    ],
)
def test_bits_that_give_reason_to_worry_are_told_from_those_that_do_not(valid, train, expected):
    found = bits_warnings(entries(valid, train), WITHOUT_MODEL)
    if expected is None:
        assert found == []
    else:
        (warning,) = found
        assert expected in warning


def test_a_run_that_only_validated_so_far_gives_no_warning():
    assert bits_warnings([{"step": 0, "valid_bits": 3.0}], WITHOUT_MODEL) == []


NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8000)).astype(np.float32)
TONE = (0.5 * np.sin(np.arange(8000) * 0.3)).astype(np.float32)
SILENCE = np.zeros((2, 8000), np.float32)


@pytest.mark.parametrize(
    ("generated", "recordings", "expected"),
    [
        (SILENCE, TONE, "silent"),
        (SILENCE, SILENCE[0], None),
        (NOISE, TONE, "white noise"),
        (NOISE, NOISE[0], None),
        (TONE[None], NOISE[0], None),
        (np.stack([TONE, NOISE[0]]), TONE, None),  # one of them is all right
        (np.float32([[0.1, 0.2]]), TONE, None),  # far too short to say
    ],
)
def test_silence_and_noise_are_told_from_what_was_recorded(generated, recordings, expected):
    found = audio_warnings(generated, recordings)
    if expected is None:
        assert found == []
    else:
        (warning,) = found
        assert expected in warning
