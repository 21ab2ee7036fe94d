import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from samplernn_jax import quantization
from samplernn_jax.devices import make_mesh, replicate
from samplernn_jax.models import teacher_forcing
from samplernn_jax.sampling import priming
from samplernn_jax.sampling.priming import Prompt, hear, initial_state
from tests.encoded import encode
from tests.tiny_models import TINY, TINY_WAVENET, VARIANTS, apply, random_params

RATE = 8000


@pytest.fixture
def mesh():
    return make_mesh(jax.devices()[:1])


def state_after(config, mesh, prompts, **options):
    keys = jax.random.split(jax.random.key(0), len(prompts) or 4)
    params = replicate(mesh, random_params(config))
    prompts = [np.asarray(prompt, np.int32) for prompt in prompts]
    return initial_state(config, params, mesh, keys, prompts, **options)


def random_prompts(config, lengths):
    rng = np.random.default_rng(0)
    return [rng.integers(0, config.q_levels, length) for length in lengths]


@pytest.mark.parametrize("config", [TINY, VARIANTS["1tier"], VARIANTS["4tier_lstm"]])
def test_every_prompt_leads_to_the_state_that_teacher_forcing_does(config, mesh, monkeypatch):
    """Prompts of any length side by side, in several chunks."""
    monkeypatch.setattr(priming, "_CHUNK_SAMPLES", 12)
    prompts = random_prompts(config, [1, 3, 4, 12, 13, 50])
    state = state_after(config, mesh, prompts)
    for row, prompt in enumerate(prompts):
        silence = config.overlap + -len(prompt) % config.top_frame_size
        clip = np.concatenate([np.full(silence, config.q_zero), prompt])[None].astype(np.int32)
        _, carry = apply(config, random_params(config), clip)
        for tier, expected in carry.items():
            np.testing.assert_allclose(state.carry[tier][row], expected[0], atol=1e-5)
        np.testing.assert_array_equal(state.window[row], clip[0, -config.top_frame_size :])


def test_of_many_prompts_shorter_chunks_are_in_memory(mesh, monkeypatch):
    prompts = random_prompts(TINY, [50, 8, 3, 50, 1, 20])
    expected, shapes, run = state_after(TINY, mesh, prompts), [], teacher_forcing.run

    def recorded(step, params, carry, segments):
        segments = list(segments)
        shapes.extend(segment.tokens.shape for segment in segments)
        return run(step, params, carry, segments)

    monkeypatch.setattr(priming, "_CHUNK_SAMPLES_OF_ALL", 80)
    monkeypatch.setattr(teacher_forcing, "run", recorded)
    state = state_after(TINY, mesh, prompts)
    per_device = {rows // mesh.size * (time - TINY.overlap) for rows, time in shapes}
    assert len(per_device) == 1
    assert max(per_device) <= 80
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.carry, expected.carry
    )


def test_wavenet_hears_as_much_as_it_looks_back_on(mesh):
    config = TINY_WAVENET
    (prompt,) = random_prompts(config, [100])
    whole = state_after(config, mesh, [prompt])
    enough = state_after(config, mesh, [prompt[-config.overlap :]])
    assert any(np.any(cache) for cache in jax.tree.leaves(whole.carry))
    jax.tree.map(np.testing.assert_array_equal, whole.carry, enough.carry)


def test_without_prompt_states_are_h0(mesh):
    state = state_after(TINY, mesh, [])
    h0 = random_params(TINY)["tier_3"]["h0"]
    np.testing.assert_array_equal(state.carry["tier_3"], np.broadcast_to(h0, (4, *h0.shape)))
    np.testing.assert_array_equal(state.window, TINY.q_zero)


def test_random_states_differ_between_sequences_tiers_and_keys(mesh):
    carry = state_after(TINY, mesh, [], random_state=True).carry
    values = np.concatenate([np.asarray(x).reshape(-1) for x in jax.tree.leaves(carry)])
    assert len(np.unique(values)) == len(values)
    assert -0.5 <= values.min() < -0.3
    assert 0.3 < values.max() < 0.5


def tone(seconds, rate, hz=200):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def amplitudes(prompt, config=VARIANTS["mu_law"]):
    heard = hear(prompt, config, RATE)
    return quantization.decode(heard.tokens, config.q_levels, config.q_type), heard.notes


def test_a_prompt_may_have_any_rate_and_any_number_of_channels(tmp_path):
    expected = tone(0.5, RATE)
    stereo = np.stack([tone(0.5, 44100), tone(0.5, 44100)], axis=1)
    soundfile.write(tmp_path / "x.flac", stereo, 44100)
    in_jax = jnp.asarray(stereo, jnp.float32)
    for prompt in (
        *(tmp_path / "x.flac", str(tmp_path / "x.flac")),
        *(Prompt(stereo, 44100), Prompt(in_jax, 44100)),
    ):
        waveform, notes = amplitudes(prompt)
        assert len(waveform) == len(expected)
        np.testing.assert_allclose(waveform[100:-100], expected[100:-100], atol=0.02)
        assert len(notes) == 1
        assert "was resampled from 44100 Hz to the model's 8000" in notes[0]
    waveform, notes = amplitudes(expected)
    np.testing.assert_allclose(waveform, expected, atol=0.02)
    assert notes == ()


def test_a_prompt_may_be_a_part_at_another_level(tmp_path):
    whole = np.concatenate([tone(1, RATE), tone(1, RATE, 400), tone(1, RATE, 800)])
    soundfile.write(tmp_path / "x.wav", whole, RATE)
    for audio in (tmp_path / "x.wav", whole):
        waveform, _ = amplitudes(Prompt(audio, None, start_s=1.0, duration_s=0.5, gain=0.5))
        np.testing.assert_allclose(waveform, 0.5 * whole[RATE : RATE * 3 // 2], atol=0.01)
        rest, _ = amplitudes(Prompt(audio, None, start_s=2.9))
        assert len(rest) == RATE // 10


def test_a_prompt_may_be_in_any_container(tmp_path):
    whole = np.concatenate([tone(1, 44100), tone(1, 44100, 400)])
    encode(tmp_path / "x.m4a", whole, 44100, "aac", bit_rate=192_000)
    part, (note,) = amplitudes(Prompt(tmp_path / "x.m4a", None, start_s=1.0, duration_s=0.5))
    np.testing.assert_allclose(part[200:-200], tone(0.5, RATE, 400)[200:-200], atol=0.03)
    assert "was resampled from 44100 Hz" in note
    with pytest.raises(ValueError, match=r"x.m4a: holds no audio from 3 s on"):
        hear(Prompt(tmp_path / "x.m4a", None, start_s=3.0), TINY, RATE)


def test_channels_of_a_prompt_that_cancel_do_not_make_it_silent():
    inverted = np.stack([tone(1, RATE), -0.9 * tone(1, RATE)], axis=1)
    waveform, notes = amplitudes(inverted)
    np.testing.assert_allclose(waveform, tone(1, RATE), atol=0.02)
    assert notes == ("prompt array has channels that cancel each other, so only channel 1 is used",)


def test_what_the_user_may_not_have_meant_is_noted():
    short = hear(np.full(2, 0.5), TINY, RATE).notes
    assert short == (
        "prompt array has 2 samples, fewer than the 4 that the model looks back on, so silence "
        "is put in front",
    )
    (cut,) = hear(Prompt(np.full(RATE, 0.5), None, 0.9, 0.2), TINY, RATE).notes
    assert cut == "prompt array has only 0.100 s from 0.9 s on"
    (silent,) = hear(np.full(9, 0.01), TINY, RATE).notes
    assert silent == "prompt array is silence to the model, which has 16 levels"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("{tmp}/none.wav", r"prompt .*none\.wav: cannot be read \(No such file"),
        ("{tmp}/text.wav", r"prompt .*text\.wav: cannot be read as audio"),
        ("{tmp}/empty.wav", r"prompt .*empty\.wav: holds no audio from 0 s on"),
        (Prompt("{tmp}/x.wav", None, 2.0), r"ends after 0.500 s, but must be longer than"),
        (np.zeros((2, 3, 4)), r"prompt array: has shape \[2, 3, 4\]"),
        (np.zeros((2, 400)), r"prompt array: has shape \[2, 400\] .* 1 to 64 channels"),
        (
            np.zeros(3, np.int16),
            "prompt array: has shape .* and type int16, but must be",
        ),
        (np.zeros(0), "prompt array: holds no audio"),
        (np.zeros((9, 0)), r"prompt array: has shape \[9, 0\]"),
        (np.full(9, np.nan), "prompt array: holds a value that is not a finite number"),
    ],
)
def test_a_prompt_that_cannot_be_heard_is_named(tmp_path, prompt, message):
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "x.wav", tone(0.5, RATE), RATE)
    if isinstance(prompt, str):
        prompt = prompt.format(tmp=tmp_path)
    elif isinstance(prompt, Prompt):
        prompt = Prompt(prompt.audio.format(tmp=tmp_path), None, prompt.start_s)
    with pytest.raises(ValueError, match=message):
        hear(prompt, TINY, RATE)


def test_where_a_prompt_is_no_number_is_told_in_the_recordings_own_time():
    recording = np.zeros(4 * RATE)
    recording[3 * RATE] = np.nan
    with pytest.raises(ValueError, match=r"not a finite number, at 3\.000 s"):
        hear(Prompt(recording, start_s=2.0), TINY, RATE)


def test_a_gain_beyond_all_numbers_is_named():
    with pytest.raises(ValueError, match=r"prompt_gain=1e\+39: makes prompt array louder than"):
        hear(Prompt(tone(1, RATE), gain=1e39), TINY, RATE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_s": -1.0}, "prompt_start_s=-1.0: must be from 0 to"),
        ({"duration_s": 0.0}, "prompt_duration_s=0.0: must be greater than 0"),
        ({"sample_rate_hz": 5}, "prompt sample_rate_hz=5: must be from 1000 to 1048576"),
        ({"start_s": 1e305}, r"prompt_start_s=1e\+305: must be from 0 to 1e\+09"),
        ({"duration_s": 1e305}, r"prompt_duration_s=1e\+305: must be .* at most 1e\+09"),
        ({"gain": float("inf")}, "prompt_gain=inf: must be greater than 0, and finite"),
    ],
)
def test_a_part_that_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Prompt("x.wav", **options)
