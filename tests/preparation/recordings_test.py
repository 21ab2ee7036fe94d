import os

import numpy as np
import pytest
import soundfile

from samplernn_jax.preparation import recordings
from tests import permissions
from tests.encoded import encode

RATE = 8000


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def write(path, value=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(100, value), RATE, format="WAV")
    return path


def find(*inputs, leave_out=None):
    return recordings.find(inputs, leave_out or inputs[0].parent / "out")


def names(found):
    return [recording.name for recording in found.recordings]


def test_folders_are_searched_to_any_depth_in_the_order_of_names(folder):
    for name in ("b.wav", "a/deep/er/x.FLAC", "a/y.ogg"):
        write(folder / name)
    assert names(find(folder)) == ["a/deep/er/x.FLAC", "a/y.ogg", "b.wav"]


def test_names_of_any_script_and_none_are_kept(folder):
    for name in ("Пётр.wav", "音楽.wav", "a b'c\"$(x).wav", "é.wav", "-rf.wav"):
        write(folder / name)
    write(folder / "z.wav").rename(folder / os.fsdecode(b"latin\xe9.wav"))
    found = find(folder)
    assert len(found.recordings) == 6
    for recording in found.recordings:
        with recording.open() as stream:
            assert stream.sample_rate_hz == RATE


def test_hidden_files_and_folders_are_passed_over(folder):
    for name in (".x.wav", ".cache/y.wav", "._z.wav", "a.wav"):
        write(folder / name)
    assert names(find(folder)) == ["a.wav"]


def test_other_files_are_counted(folder):
    write(folder / "a.wav")
    for name in ("notes.txt", "cover.jpg"):
        (folder / name).write_bytes(b"x")
    found = find(folder)
    assert (names(found), found.num_ignored, found.rejected) == (["a.wav"], 2, [])


def test_recordings_are_found_in_the_containers_that_people_have(folder):
    waveform = np.linspace(-0.5, 0.5, RATE, dtype=np.float32)
    encode(folder / "phone.m4a", waveform, 44100, "aac")
    encode(folder / "film.MP4", waveform, 44100, "aac", pictures=True)
    encode(folder / "page.webm", waveform, 48000, "libopus")
    encode(folder / "old.wma", waveform, 44100, "wmav2")
    found = find(folder)
    assert names(found) == ["film.MP4", "old.wma", "page.webm", "phone.m4a"]
    for recording in found.recordings:
        with recording.open() as stream:
            assert sum(map(len, stream.blocks)) > 4000


def test_a_loop_of_links_ends_and_a_file_is_taken_once(folder):
    write(folder / "a" / "x.wav")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "again").symlink_to(folder / "a")
    (folder / "y.wav").symlink_to(folder / "a" / "x.wav")
    assert names(find(folder)) == ["y.wav"]
    assert names(find(folder, folder / "a" / "x.wav")) == ["in/y.wav"]


def test_links_out_of_the_folder_are_followed(folder, tmp_path):
    write(tmp_path / "elsewhere" / "x.wav")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert names(find(folder)) == ["link/x.wav"]


def test_a_pipe_is_not_waited_for(folder):
    write(folder / "a.wav")
    os.mkfifo(folder / "pipe")
    (folder / "b.wav").symlink_to(folder / "pipe")
    found = find(folder)
    assert names(found) == ["a.wav"]
    assert found.rejected == [("b.wav", "cannot be read (it is a device or pipe, not a file)")]


def test_a_link_to_nowhere_is_named(folder):
    write(folder / "a.wav")
    (folder / "b.wav").symlink_to(folder / "missing")
    (folder / "c.wav").symlink_to(folder / "c.wav")
    found = find(folder)
    assert names(found) == ["a.wav"]
    assert [name for name, _ in found.rejected] == ["b.wav", "c.wav"]


def test_a_folder_that_may_not_be_read_is_named(folder):
    write(folder / "a.wav")
    write(folder / "locked" / "b.wav").parent.chmod(0)
    with permissions.obeyed():
        found = find(folder)
    (folder / "locked").chmod(0o755)
    assert names(found) == ["a.wav"]
    assert found.rejected == [("locked", "folder cannot be read (Permission denied)")]


def test_a_file_that_may_not_be_read_is_named_with_the_reason(folder):
    write(folder / "a.wav").chmod(0)
    (recording,) = find(folder).recordings
    with (
        permissions.obeyed(),
        pytest.raises(ValueError, match=r"cannot be read \(Permission denied\)"),
    ):
        recording.open().__enter__()


def test_the_output_inside_the_input_is_not_searched(folder):
    write(folder / "a.wav")
    write(folder / "out" / "b.wav")
    assert names(find(folder, leave_out=folder / "out")) == ["a.wav"]


def test_a_single_file_needs_no_ending(folder):
    assert names(find(write(folder / "recording"))) == ["recording"]


def test_a_list_names_files_relative_to_itself(folder):
    write(folder / "a.wav")
    write(folder / "sub" / "b.dat")
    (folder / "some.txt").write_text("\ufeff# mine\n\na.wav\n sub/b.dat \nmissing.wav\n", "utf-8")
    found = find(folder / "some.txt")
    assert names(found) == ["a.wav", "sub/b.dat"]
    assert [name for name, _ in found.rejected] == ["missing.wav"]


def test_an_old_list_is_latin_1_and_what_is_no_name_is_passed_over(folder):
    write(folder / "é.wav")
    (folder / "old.m3u").write_bytes("é.wav\na\0b.wav\n".encode("latin-1"))
    found = find(folder / "old.m3u")
    assert names(found) == ["é.wav"]
    assert [name for name, _ in found.rejected] == ["a\0b.wav"]


def test_two_files_of_the_same_name_are_told_apart(folder, tmp_path):
    write(folder / "x.wav")
    write(tmp_path / "other" / "in" / "x.wav")
    found = find(folder, tmp_path / "other" / "in")
    assert names(found) == ["in/x.wav", "in/x.wav (2)"]


def test_the_fingerprint_changes_with_the_file(folder):
    path = write(folder / "a.wav")
    before = find(folder).recordings[0].fingerprint
    assert find(folder).recordings[0].fingerprint == before
    os.utime(path, ns=(1, 1))
    assert find(folder).recordings[0].fingerprint != before


def test_what_is_not_there_is_named(folder):
    with pytest.raises(ValueError, match=r"input=.*missing: must be an existing file, folder or"):
        find(folder / "missing")
    (folder / "x.wav").symlink_to(folder / "nowhere")
    with pytest.raises(ValueError, match=r"holds no audio file .*passed over x.wav"):
        find(folder)


def test_folders_give_the_split(folder):
    for name in ("train/a.wav", "train/sub/b.wav", "validation/c.wav", "test/d.wav"):
        write(folder / name)
    split = recordings.split_by_folder(find(folder).recordings)
    assert {recording.name: recording.split for recording in split} == {
        "train/a.wav": "train",
        "train/sub/b.wav": "train",
        "validation/c.wav": "valid",
        "test/d.wav": "test",
    }
    inputs = [folder / "train", folder / "validation", folder / "test"]
    several = recordings.split_by_folder(find(*inputs).recordings)
    assert [recording.split for recording in several] == ["test", "train", "train", "valid"]
    write(folder / "other.wav")
    with pytest.raises(ValueError, match=r"split_by=folder: other.wav must be in one of"):
        recordings.split_by_folder(find(folder).recordings)


def test_lists_give_the_split(folder, tmp_path):
    for name in ("a.wav", "b.wav", "c.wav", "d.wav"):
        write(folder / name)
    found = find(folder).recordings
    lists = {"valid": tmp_path / "valid.txt", "test": tmp_path / "test.txt"}
    lists["valid"].write_text("c.wav\n")
    lists["test"].write_text("a.wav\r\n")
    split = recordings.split_by_lists(found, lists)
    assert [recording.split for recording in split] == ["test", "train", "valid", "train"]
    lists["test"].write_text("a.wav\nc.wav\n")
    with pytest.raises(ValueError, match=r"test.txt: names 'c.wav', which is on both lists"):
        recordings.split_by_lists(found, lists)
    lists["test"].write_text("x.wav\n")
    with pytest.raises(ValueError, match=r"test.txt: names 'x.wav', which is not in the input"):
        recordings.split_by_lists(found, lists)
    with pytest.raises(ValueError, match="cannot be read as a list of files"):
        recordings.split_by_lists(found, {**lists, "test": tmp_path / "missing.txt"})
