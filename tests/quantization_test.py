import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samplernn_jax import quantization

q_types = pytest.mark.parametrize(
    ("q_levels", "q_type"),
    [(256, "linear"), (64, "linear"), (255, "linear"), (256, "mu-law"), (256, "a-law")],
)
waveforms = arrays(np.float32, 20, elements=st.floats(-2, 2, width=32))


@q_types
def test_every_token_survives_the_round_trip(q_levels, q_type):
    tokens = np.arange(q_levels, dtype=np.int32)
    waveform = quantization.decode(tokens, q_levels, q_type)
    assert waveform.dtype == np.float32
    assert np.abs(waveform).max() <= 1
    np.testing.assert_array_equal(quantization.encode(waveform, q_levels, q_type), tokens)


@q_types
def test_silence_is_q_zero_and_back_exactly(q_levels, q_type):
    token = quantization.encode(np.zeros(1, np.float32), q_levels, q_type)
    assert token == q_levels // 2
    assert quantization.decode(token, q_levels, q_type) == 0


@q_types
def test_ends_and_what_is_outside_get_the_outermost_tokens(q_levels, q_type):
    waveform = np.array([-np.inf, -3, -1, 1, 3, np.inf], np.float32)
    tokens = quantization.encode(waveform, q_levels, q_type)
    np.testing.assert_array_equal(tokens, [0, 0, 0] + 3 * [q_levels - 1])


@settings(deadline=None)
@given(waveform=waveforms)
def test_linear_is_never_off_by_more_than_half_a_step(waveform):
    waveform = waveform.clip(-1, 1)
    back = quantization.decode(quantization.encode(waveform, 256, "linear"), 256, "linear")
    assert np.abs(back - waveform).max() <= (0.5 + 1e-5) / 127.5


def mu_law(x):
    return np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)


def a_law(x):
    size = 87.6 * np.abs(x)
    with np.errstate(divide="ignore"):
        return np.sign(x) * np.where(size < 1, size, 1 + np.log(size)) / (1 + np.log(87.6))


@settings(deadline=None)
@given(waveform=waveforms)
@pytest.mark.parametrize(("q_type", "compress"), [("mu-law", mu_law), ("a-law", a_law)])
def test_a_companded_sample_is_never_off_by_more_than_half_a_step(q_type, compress, waveform):
    waveform = waveform.clip(-1, 1).astype(np.float64)
    tokens = quantization.encode(waveform.astype(np.float32), 256, q_type)
    back = quantization.decode(tokens, 256, q_type).astype(np.float64)
    assert np.abs(compress(back) - compress(waveform)).max() <= (0.5 + 1e-4) / 127.5


@settings(deadline=None)
@given(waveform=waveforms)
@pytest.mark.parametrize("q_type", ["linear", "mu-law", "a-law"])
def test_numpy_and_jax_agree_bit_for_bit(q_type, waveform):
    tokens = quantization.encode(waveform, 256, q_type)
    jax_tokens = quantization.encode(jnp.asarray(waveform), 256, q_type)
    np.testing.assert_array_equal(jax_tokens, tokens)
    np.testing.assert_array_equal(
        quantization.decode(jax_tokens, 256, q_type), quantization.decode(tokens, 256, q_type)
    )


@q_types
def test_pcm16_table_is_the_encoder(q_levels, q_type):
    pcm = np.array([-32768, -1, 0, 1, 1234, 32767], np.int16)
    np.testing.assert_array_equal(
        quantization.pcm16_table(q_levels, q_type)[pcm.view(np.uint16)],
        quantization.encode(pcm.astype(np.float32) / np.float32(32768), q_levels, q_type),
    )


def test_with_65536_levels_every_16_bit_sample_has_a_token_of_its_own():
    pcm = np.arange(2**16, dtype=np.uint16).view(np.int16)
    tokens = quantization.pcm16_table(2**16, "linear")
    np.testing.assert_array_equal(tokens, pcm.astype(np.int32) + 2**15)
    amplitudes = quantization.decode(tokens, 2**16, "linear")
    assert np.abs(amplitudes - pcm.astype(np.float64) / 2**15).max() <= 0.5001 / (2**15 - 0.5)
    np.testing.assert_array_equal(quantization.encode(amplitudes, 2**16, "linear"), tokens)
