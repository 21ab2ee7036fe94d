import os
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile

from samplernn_jax import audio
from tests.encoded import garble

RATE = 8000


def tone(seconds, rate=RATE, hz=440.0, peak=0.5):
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def read_what_can_be(path, rate=RATE, channel=0):
    """The samples up to the damage, and the damage."""
    blocks = []
    with audio.open_recording(path) as stream:
        try:
            for block in audio.resampled(stream, rate, channel):
                blocks.append(block)
        except audio.DamagedError as error:
            return np.concatenate(blocks), str(error)
    return np.concatenate(blocks), ""


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 192_000])
def test_reading_keeps_pitch_and_length_whatever_the_rate(tmp_path, rate):
    soundfile.write(tmp_path / "tone.wav", tone(2, rate), rate)
    waveform = audio.read(tmp_path / "tone.wav", RATE)
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(2 * RATE, abs=2)
    spectrum = np.abs(np.fft.rfft(waveform))
    assert np.argmax(spectrum) * RATE / len(waveform) == pytest.approx(440, abs=1)
    assert np.abs(waveform[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("wav", {"subtype": "PCM_U8"}),
        ("wav", {"subtype": "PCM_24"}),
        ("wav", {"subtype": "DOUBLE"}),
        ("flac", {}),
        ("ogg", {}),
        ("ogg", {"subtype": "OPUS"}),
        ("mp3", {}),
        ("aiff", {}),
        ("w64", {}),
    ],
)
def test_every_format_and_width_of_libsndfile_is_read(tmp_path, ending, options):
    file = tmp_path / f"tone.{ending}"
    soundfile.write(file, tone(1), RATE, **options)
    waveform = audio.read(file, RATE)
    assert len(waveform) == pytest.approx(RATE, abs=2)
    assert np.sqrt(np.mean(waveform**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_a_file_is_known_by_its_content_not_by_its_ending(tmp_path):
    soundfile.write(tmp_path / "tone.mp3", tone(1), RATE, format="FLAC")
    assert len(audio.read(tmp_path / "tone.mp3", RATE)) == RATE


def test_channels_are_mixed_down_or_picked(tmp_path):
    channels = np.stack([tone(1, peak=0.1 * number) for number in range(6)], axis=1)
    soundfile.write(tmp_path / "six.wav", channels, RATE, subtype="FLOAT")
    for channel, expected in ((0, channels.mean(axis=1)), (1, 0 * tone(1)), (6, channels[:, 5])):
        waveform, _ = read_what_can_be(tmp_path / "six.wav", channel=channel)
        np.testing.assert_allclose(waveform, expected, atol=1e-6)
    with pytest.raises(ValueError, match="has 6 channels, so there is no channel=7"):
        read_what_can_be(tmp_path / "six.wav", channel=7)


def test_an_unknown_encoding_is_named(tmp_path):
    with pytest.raises(ValueError, match="encoding='mp3': must be one of wav16, wav24"):
        audio.write(tmp_path / "x.mp3", np.zeros(9, np.float32), RATE, "mp3")
    assert list(tmp_path.iterdir()) == []


def test_values_over_one_are_kept(tmp_path):
    soundfile.write(tmp_path / "hot.wav", tone(1, peak=3.0), RATE, subtype="FLOAT")
    assert audio.read(tmp_path / "hot.wav", RATE).max() == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_named_with_its_time(tmp_path, value):
    waveform = tone(1)
    waveform[4000] = value
    soundfile.write(tmp_path / "x.wav", waveform, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"x.wav: holds a value .* at 0.500 s"):
        audio.read(tmp_path / "x.wav", RATE)


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "aiff"])
def test_a_truncated_file_is_read_up_to_the_damage(tmp_path, ending):
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    soundfile.write(whole, tone(10), RATE)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    waveform, damage = read_what_can_be(cut)
    assert "ends early" in damage or "is damaged" in damage
    assert 4 * RATE < len(waveform) < 7 * RATE
    expected, _ = read_what_can_be(whole)
    np.testing.assert_allclose(waveform[:RATE], expected[:RATE], atol=1e-6)
    with pytest.raises(ValueError, match=f"cut.{ending}"):
        audio.read(cut, RATE)


def test_a_recorder_that_did_not_learn_the_length_made_a_whole_file(tmp_path):
    file = tmp_path / "piped.wav"
    soundfile.write(file, tone(1), RATE, subtype="PCM_16")
    content = bytearray(file.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(content)
    assert len(audio.read(file, RATE)) == RATE


@pytest.mark.parametrize("ending", ["mp3", "ogg", "flac"])
def test_no_piece_ends_with_a_jump(tmp_path, ending):
    seconds = 60  # several blocks of what is read at once
    soundfile.write(tmp_path / f"x.{ending}", tone(seconds), RATE)
    waveform = audio.read(tmp_path / f"x.{ending}", RATE)[RATE // 10 : -RATE // 10]
    assert np.abs(np.diff(waveform)).max() < 1.1 * np.abs(np.diff(tone(1))).max()


def test_a_wav_file_may_be_called_raw(tmp_path):
    soundfile.write(tmp_path / "tone.wav", tone(1), RATE)
    (tmp_path / "tone.wav").rename(tmp_path / "tone.raw")
    assert len(audio.read(tmp_path / "tone.raw", RATE)) == RATE


def test_a_flac_file_may_not_know_its_length(tmp_path):
    soundfile.write(tmp_path / "x.flac", tone(1), RATE)
    content = bytearray((tmp_path / "x.flac").read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(content)
    assert len(audio.read(tmp_path / "x.flac", RATE)) == RATE


def test_a_sample_rate_that_cannot_be_true_is_refused(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(1), 1)
    with pytest.raises(ValueError, match="has an impossible sample rate in its header, 1 Hz"):
        audio.read(tmp_path / "x.wav", RATE)


def test_a_part_of_a_file_is_read(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(1), RATE)
    with audio.open_recording(tmp_path / "x.wav", start=100, num_frames=50) as stream:
        part = np.concatenate(list(audio.resampled(stream, RATE)))
    np.testing.assert_array_equal(part, audio.read(tmp_path / "x.wav", RATE)[100:150])


def test_a_part_that_is_whole_is_read_of_a_file_that_was_cut(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(2), RATE)
    content = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(content[: len(content) // 2])
    with audio.open_recording(tmp_path / "x.wav", num_frames=100) as stream:
        assert len(np.concatenate(list(audio.resampled(stream, RATE)))) == 100
    with (
        audio.open_recording(tmp_path / "x.wav", num_frames=2 * RATE) as stream,
        pytest.raises(audio.DamagedError, match="ends early"),
    ):
        list(audio.resampled(stream, RATE))


def test_a_part_behind_the_damage_is_refused(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE)
    soundfile.write(tmp_path / "x.flac", noise, RATE)
    content = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(content[: len(content) // 4])
    with (
        pytest.raises(ValueError, match="is damaged"),
        audio.open_recording(tmp_path / "x.flac", start=3 * RATE) as stream,
    ):
        list(stream.blocks)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: must be a file, not a folder, pipe or device"):
        audio.read(tmp_path / "pipe", RATE)


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        soundfile.SoundFile, "write", Mock(side_effect=soundfile.LibsndfileError(1))
    )
    with pytest.raises(ValueError, match=r"x\.wav: cannot be written \(.*\)"):
        audio.write(tmp_path / "x.wav", np.zeros(9, np.float32), RATE)
    with (
        pytest.raises(ValueError, match=r"first\.wav: cannot be written \(.*\)"),
        audio.writer(tmp_path / "first.wav", RATE) as write_block,
        audio.writer(tmp_path / "second.wav", RATE),
    ):
        write_block(np.zeros(9, np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"RIFF no audio at all", "cannot be read as audio"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(ValueError, match=f"x.wav: .*{reason}"):
        audio.read(tmp_path / "x.wav", RATE)


def test_a_recording_without_samples_is_named(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(0), RATE)
    with pytest.raises(ValueError, match=r"x\.wav: holds no audio"):
        audio.read(tmp_path / "x.wav", RATE)


def test_an_error_in_the_readers_own_code_is_not_taken_for_the_files(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(1), RATE)
    with pytest.raises(OSError, match="disk full"), audio.open_recording(tmp_path / "x.wav"):
        raise OSError("disk full")


def test_written_audio_reads_back(tmp_path):
    waveform = tone(0.1).astype(np.float32)
    audio.write(tmp_path / "new" / "x.wav", waveform, RATE)
    np.testing.assert_allclose(audio.read(tmp_path / "new" / "x.wav", RATE), waveform, atol=4e-5)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.wav"]


def test_nothing_is_printed_of_a_damaged_mp3_of_libsndfile(tmp_path, capfd):
    soundfile.write(tmp_path / "x.mp3", tone(10), RATE)
    garble(tmp_path / "x.mp3", tmp_path / "garbled.mp3")
    read_what_can_be(tmp_path / "garbled.mp3")
    assert capfd.readouterr() == ("", "")


def stereo(path, left, right):
    soundfile.write(path, np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    return partial(audio.open_recording, path)


def test_of_channels_that_cancel_the_louder_one_is_taken_and_that_is_said(tmp_path):
    left = tone(1)
    heard = audio.read_mono(stereo(tmp_path / "x.wav", 0.9 * left + 0.1, -left), RATE)
    np.testing.assert_allclose(heard.waveform, -left, atol=1e-6)
    assert heard.notes == ["has channels that cancel each other, so only channel 2 is used"]
    np.testing.assert_array_equal(audio.read(tmp_path / "x.wav", RATE), heard.waveform)


def test_channels_that_cancel_in_part_are_mixed_and_that_is_said(tmp_path):
    left, other = tone(1), tone(1, hz=700.0)
    right = -left + 0.9 * other
    heard = audio.read_mono(stereo(tmp_path / "x.wav", left, right), RATE)
    np.testing.assert_allclose(heard.waveform, 0.45 * other, atol=1e-6)
    assert heard.notes == []
    heard = audio.read_mono(stereo(tmp_path / "y.wav", left, -left + 0.6 * other), RATE)
    (note,) = heard.notes
    assert note == "has channels that partly cancel each other, so their mix loses 8 dB"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_stereo_as_it_is_gives_no_note(tmp_path, share):
    """Of what is in one channel alone, in both, or different in each."""
    rng = np.random.default_rng(0)
    left, right = 0.1 * rng.standard_normal((2, RATE))
    for name, other in (("alone", 0 * left), ("mixed", share * left + (1 - share) * right)):
        assert audio.read_mono(stereo(tmp_path / f"{name}.wav", left, other), RATE).notes == []
