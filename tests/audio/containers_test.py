"""Files that libsndfile does not read; all are made here."""

import contextlib
import threading
from functools import partial

import numpy as np
import pytest
import soundfile

from samplernn_jax import audio
from tests.encoded import encode, garble

RATE = 48000


def melody(seconds, rate=RATE):
    """Something that is like itself at no other time."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time)) * (np.sin(17 * time**2) > 0.5)
    return (0.3 * np.sin(900 * time + 700 * time**2) + 0.05 * noise).astype(np.float32)


def frames(path, start=0, num_frames=None):
    with audio.open_recording(path, start, num_frames) as stream:
        blocks = list(stream.blocks)
    return np.concatenate(blocks) if blocks else np.zeros((0, stream.num_channels)), stream


def delay(waveform, original):
    """Samples by which a waveform comes later than the original."""
    size = 2 ** int(np.ceil(np.log2(len(waveform) + len(original))))
    spectra = np.fft.rfft(waveform, size), np.fft.rfft(original, size)
    lag = int(np.fft.irfft(spectra[0] * spectra[1].conj()).argmax())
    return lag - size if lag > size // 2 else lag


@pytest.mark.parametrize(
    ("name", "codec", "container", "late", "longer"),
    [
        ("x.m4a", "aac", "ipod", 0, 48),
        ("x.mp4", "aac", "mp4", 0, 48),
        ("x.webm", "libopus", "webm", 0, 0),
        ("x.mkv", "aac", "matroska", 0, 1024),  # no word about the end
        ("x.mp3", "libmp3lame", "mp3", 0, 0),
        ("tagged.mp3", "libmp3lame", "mp3", 0, 0),
        ("x.aac", "aac", "adts", 1024, 2048),  # no word about delay and end
        ("x.wma", "wmav2", "asf", -2048, 4096),  # likewise; the decoder guesses
        ("x.3gp", "aac", "3gp", 0, 48),
        ("x.avi", "ac3", "avi", 256, 2048),
        ("x.wav", "aac", "ipod", 0, 48),
        ("y.wav", "aac", "adts", 1024, 2048),
        ("x", "libopus", "webm", 0, 0),
    ],
)
def test_what_was_encoded_comes_back_in_time(tmp_path, name, codec, container, late, longer):
    original = melody(3)
    tags = {"title": "é" * 3000} if name == "tagged.mp3" else {}
    stereo = np.stack([original, 0.5 * original], axis=1)
    encode(tmp_path / name, stereo, RATE, codec, container, bit_rate=192_000, metadata=tags)
    decoded, stream = frames(tmp_path / name)
    assert (stream.sample_rate_hz, decoded.shape[1], list(stream.notes)) == (RATE, 2, [])
    assert abs(len(decoded) - len(original)) <= longer
    assert abs(delay(decoded[:, 0], original) - late) <= 1
    lag = max(0, late)
    size = min(len(decoded), len(original)) - 4096
    if late >= 0:
        error = decoded[lag + 2048 : lag + size, 0] - original[2048:size]
        assert np.sqrt(np.mean(error**2)) < 0.25 * original.std()
    assert np.std(decoded[:, 1]) == pytest.approx(0.5 * np.std(decoded[:, 0]), rel=0.05)


@pytest.mark.parametrize(
    ("name", "codec", "step"),
    [
        ("x.mka", "flac", 2**-15),
        ("x.m4a", "alac", 2**-15),
        ("x.wv", "wavpack", 2**-7),
        ("x.mov", "pcm_s24le", 2**-23),
        ("x.mka", "pcm_f64le", 2**-23),
        ("x.tta", "tta", 2**-7),
    ],
)
def test_lossless_formats_give_the_same_samples(tmp_path, name, codec, step):
    original = melody(1)
    encode(tmp_path / name, original, RATE, codec)
    decoded, _ = frames(tmp_path / name)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded[:, 0], original, rtol=0, atol=step)


@pytest.mark.parametrize("num_channels", [6, 8])
@pytest.mark.parametrize(("name", "codec"), [("x.mka", "flac"), ("x.mka", "pcm_f32le")])
def test_every_channel_is_its_own(tmp_path, num_channels, name, codec):
    original = melody(1)[:, None] * np.linspace(0.1, 1, num_channels, dtype=np.float32)
    encode(tmp_path / name, original, RATE, codec)
    np.testing.assert_allclose(frames(tmp_path / name)[0], original, rtol=0, atol=2**-15)


def test_eight_channels_of_a_lossy_format_are_read(tmp_path):
    original = melody(1)[:, None] * np.linspace(0.1, 1, 8, dtype=np.float32)
    encode(tmp_path / "x.m4a", original, RATE, "aac", bit_rate=512_000)
    decoded, _ = frames(tmp_path / "x.m4a")
    for channel in (0, 1, 2, 7):
        assert decoded[:, channel].std() == pytest.approx(original[:, channel].std(), rel=0.1)


def test_mp3_is_read_as_libsndfile_reads_it(tmp_path):
    soundfile.write(tmp_path / "x.mp3", melody(3), RATE)
    expected, _ = soundfile.read(tmp_path / "x.mp3")
    np.testing.assert_allclose(frames(tmp_path / "x.mp3")[0][:, 0], expected, rtol=0, atol=1e-5)


def test_the_samples_that_itunes_counts_are_all_that_is_read(tmp_path):
    count = 3 * RATE - 700
    tag = {"iTunSMPB": f" 00000000 00000840 000001CA {count:016X} 00000000"}
    encode(tmp_path / "x.m4a", melody(3), RATE, "aac", metadata=tag, movflags="use_metadata_tags")
    assert len(frames(tmp_path / "x.m4a")[0]) == count


@pytest.mark.parametrize("count", ["long", "-1", "", "F" * 30])
def test_a_count_of_itunes_that_makes_no_sense_is_ignored(tmp_path, count):
    tag = {"iTunSMPB": f" 00000000 00000840 000001CA {count} 00000000"}
    for seconds in (0.1, 3):
        original, options = melody(seconds), {"metadata": tag, "movflags": "use_metadata_tags"}
        encode(tmp_path / "x.m4a", original, RATE, "aac", **options)
        assert len(frames(tmp_path / "x.m4a")[0]) == pytest.approx(len(original), abs=48)


@pytest.mark.parametrize(("name", "codec"), [("x.m4a", "aac"), ("x.mp3", "libmp3lame")])
def test_a_part_begins_and_ends_at_the_very_frame(tmp_path, name, codec):
    encode(tmp_path / name, melody(12), RATE, codec)
    whole, _ = frames(tmp_path / name)
    for start, num_frames in ((0, 1), (1, 5000), (300_001, 4097), (500_000, None), (10**7, 5)):
        part, stream = frames(tmp_path / name, start, num_frames)
        stop = None if num_frames is None else start + num_frames
        np.testing.assert_array_equal(part, whole[start:stop])
        assert stream.first_frame == start


def test_long_recordings_come_in_blocks(tmp_path):
    encode(tmp_path / "x.m4a", np.tile(melody(10, 8000), 40), 8000, "aac")
    with audio.open_recording(tmp_path / "x.m4a") as stream:
        sizes = [len(block) for block in stream.blocks]
    assert sum(sizes) == pytest.approx(400 * 8000, abs=8)
    assert max(sizes) < 2**18 + 4096


def test_pictures_are_ignored(tmp_path):
    encode(tmp_path / "x.mp4", melody(1), RATE, "aac", pictures=True)
    assert len(audio.read(tmp_path / "x.mp4", RATE)) == pytest.approx(RATE, abs=48)
    encode(tmp_path / "silent.mp4", [], RATE, "aac", pictures=True)
    with pytest.raises(ValueError, match=r"silent.mp4: has no audio, only pictures$"):
        audio.read(tmp_path / "silent.mp4", RATE)


def test_of_several_audio_streams_the_first_is_taken_and_that_is_said(tmp_path):
    encode(tmp_path / "x.mka", [melody(1), np.zeros(RATE, np.float32)], RATE, "flac")
    decoded, stream = frames(tmp_path / "x.mka")
    assert decoded.std() == pytest.approx(melody(1).std(), rel=0.01)
    assert stream.notes == ["has 2 audio streams; the first is used"]


def test_a_stream_that_changes_its_rate_and_channels_is_converted(tmp_path):
    mono, stereo = melody(2, 44100), np.stack([melody(2, 22050)] * 2, axis=1)
    encode(tmp_path / "a.aac", mono, 44100, "aac")
    encode(tmp_path / "b.aac", stereo, 22050, "aac")
    content = (tmp_path / "a.aac").read_bytes() + (tmp_path / "b.aac").read_bytes()
    (tmp_path / "x.aac").write_bytes(content)
    decoded, stream = frames(tmp_path / "x.aac")
    assert (stream.sample_rate_hz, decoded.shape[1]) == (44100, 1)
    assert len(decoded) == pytest.approx(4 * 44100, abs=8192)
    second = decoded[2 * 44100 + 8192 :]
    assert second.std() == pytest.approx(mono.std(), rel=0.05)
    assert stream.notes == ["is partly stereo at 22050 Hz, which was converted"]


@pytest.mark.parametrize("tag", [b"drms", b"enca"])
def test_a_protected_file_is_refused(tmp_path, tag):
    encode(tmp_path / "x.m4p", melody(1), RATE, "aac", "ipod")
    content = (tmp_path / "x.m4p").read_bytes()
    at = content.index(b"mp4a", content.index(b"stsd"))
    (tmp_path / "x.m4p").write_bytes(content[:at] + tag + content[at + 4 :])
    with pytest.raises(ValueError, match=r"x.m4p: is copy-protected \(DRM\), so only"):
        audio.read(tmp_path / "x.m4p", RATE)


def test_a_file_that_was_cut_is_read_up_to_there(tmp_path):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    encode(whole, melody(10), RATE, "aac", movflags="+faststart")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    blocks = []
    with (
        audio.open_recording(cut) as stream,
        pytest.raises(audio.DamagedError, match=r"ends early or is damaged; \d\.\d s of 10\.0 s"),
    ):
        blocks.extend(stream.blocks)
    assert 4 * RATE < sum(map(len, blocks)) < 7 * RATE
    with pytest.raises(ValueError, match=r"cut.mp4: ends early"):
        audio.read(cut, RATE)
    encode(whole, melody(10), RATE, "aac")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(ValueError, match=r"cannot be read as audio \(moov atom not found\)"):
        audio.read(cut, RATE)


def test_what_a_decoder_complains_about_is_noted_and_not_printed(tmp_path, capfd):
    encode(tmp_path / "whole.mp3", melody(60, 16_000), 16_000, "libmp3lame")
    garble(tmp_path / "whole.mp3", tmp_path / "garbled.mp3")
    decoded, stream = frames(tmp_path / "garbled.mp3")
    assert 55 * 16_000 < len(decoded) <= 60 * 16_000
    (note,) = stream.notes
    assert note.startswith("has errors: its decoder complains ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [0, 3, 6001, 10**6])
def test_nothing_is_printed_of_a_damaged_mp3_in_a_wav_file(tmp_path, capfd, size):
    """Whatever stands in front of the word about the encoding."""
    encode(tmp_path / "x.wav", melody(10), RATE, "libmp3lame", "wav")
    garble(tmp_path / "x.wav", tmp_path / "garbled.wav")
    content = (tmp_path / "garbled.wav").read_bytes()
    body = b"WAVE" + b"JUNK" + size.to_bytes(4, "little") + bytes(size + size % 2) + content[12:]
    (tmp_path / "x.wav").write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    with (
        audio.open_recording(tmp_path / "x.wav") as stream,
        contextlib.suppress(audio.DamagedError),
    ):
        assert sum(map(len, stream.blocks)) > 9 * RATE
    assert capfd.readouterr() == ("", "")


def test_a_wav_file_without_a_word_about_its_encoding_is_refused(tmp_path):
    for content in (bytes(10**5), b"JUNK\xff\xff\xff\xff" + bytes(99), b"fmt ", b"data"):
        (tmp_path / "x.wav").write_bytes(b"RIFF\x00\x00\x01\x00WAVE" + content)
        with pytest.raises(ValueError, match=r"x.wav: "):
            audio.read(tmp_path / "x.wav", RATE)


def test_complaints_are_told_apart_by_file(tmp_path):
    encode(tmp_path / "whole.mp3", melody(60, 16_000), 16_000, "libmp3lame")
    garble(tmp_path / "whole.mp3", tmp_path / "garbled.mp3")
    _, alone = frames(tmp_path / "garbled.mp3")
    notes = {}

    def read(number, name):
        notes[number] = frames(tmp_path / name)[1].notes

    names = ["whole.mp3", "garbled.mp3"] * 3
    threads = [
        threading.Thread(target=partial(read, number, name)) for number, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [notes[number] for number in range(6)] == [[], alone.notes] * 3


@pytest.mark.parametrize(
    "content",
    [
        b"ffconcat version 1.0\nfile 'secret.wav'\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.wav\n#EXT-X-ENDLIST\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:1/x.ts\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    audio.write(tmp_path / "secret.wav", melody(1), RATE)
    (tmp_path / "list.m4a").write_bytes(content)
    with pytest.raises(ValueError, match=r"list.m4a: cannot be read as audio|has no audio"):
        audio.read(tmp_path / "list.m4a", RATE)


def test_garbage_is_an_error_of_one_line_and_nothing_is_printed(tmp_path, capfd):
    encode(tmp_path / "x.m4a", melody(1), RATE, "aac")
    encode(tmp_path / "x.webm", melody(1), RATE, "libopus")
    encode(tmp_path / "x.wma", melody(1), RATE, "wmav2")
    rng = np.random.default_rng(0)
    file = tmp_path / "bad"
    for number, name in enumerate(["x.m4a", "x.webm", "x.wma"] * 8):
        content = bytearray((tmp_path / name).read_bytes())
        for at in rng.integers(0, len(content) if number % 2 else 2000, 5):
            content[at : at + 8] = rng.bytes(8)
        file.write_bytes(content[: rng.integers(1, len(content))])
        try:
            audio.read(file, RATE)
        except ValueError as error:
            assert "\n" not in str(error)
    for _ in range(10):
        file.write_bytes(rng.bytes(20_000))
        with pytest.raises(ValueError, match=r"bad: "):
            audio.read(file, RATE)
    assert capfd.readouterr() == ("", "")
