import shutil

import pytest

from samplernn_jax import storage
from samplernn_jax.storage import make_folder, new_folder, replace_file, write_json


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "sub" / "x.txt"
    with replace_file(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    before = path.read_text()
    with pytest.raises(RuntimeError), replace_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_refused_and_another_left_as_it_was(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(ValueError, match=f"output={path}: must be a folder that can be wr"):
            make_folder("output", path)
    for path in (tmp_path, tmp_path / "new" / "sub"):
        make_folder("output", path)
        make_folder("output", path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / name for name in ("file", "new", "new/sub")]
    assert (tmp_path / "file").read_text() == "x"


def test_a_folder_appears_when_it_is_whole_and_not_after_a_failure(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("whole")
    assert (tmp_path / "a" / "x").read_text() == "whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_is_in_a_folder_is_listed_in_order(tmp_path):
    assert storage.names(tmp_path / "none") == []
    for name in ("b", "sub/c", "a"):
        storage.write_text(tmp_path / name, name)
    assert storage.names(tmp_path) == ["a", "b", "sub"]
    assert storage.files_below(tmp_path) == ["a", "b", "sub/c"]
    assert storage.exists(tmp_path / "sub")
    assert not storage.exists(tmp_path / "c")


def test_text_is_replaced_or_appended_and_read(tmp_path):
    path = tmp_path / "x"
    storage.write_text(path, "old")
    storage.write_text(path, "a\n")
    storage.append_text(path, "\u00e9\n")
    assert storage.read_text(path) == "a\n\u00e9\n"
    path.write_bytes(path.read_bytes()[:3])
    assert storage.read_text(path) == "a\n\ufffd"


def test_a_missing_or_changed_file_is_not_intact(tmp_path):
    storage.write_text(tmp_path / "x", "content")
    expected = storage.checksum(tmp_path / "x")
    assert storage.is_intact(tmp_path / "x", expected)
    storage.append_text(tmp_path / "x", "!")
    assert not storage.is_intact(tmp_path / "x", expected)
    assert not storage.is_intact(tmp_path / "y", expected)
    assert not storage.is_intact(tmp_path, expected)


def test_a_folder_is_moved_over_another_and_removed(tmp_path):
    storage.write_text(tmp_path / "a" / "new", "x")
    storage.write_text(tmp_path / "aside" / "a" / "old", "x")
    storage.move_folder(tmp_path / "a", tmp_path / "aside" / "a")
    assert storage.files_below(tmp_path) == ["aside/a/new"]
    storage.remove_if_empty(tmp_path / "aside")
    storage.remove_folder(tmp_path / "aside" / "a")
    assert storage.names(tmp_path / "aside") == []
    storage.remove_if_empty(tmp_path / "aside")
    assert storage.names(tmp_path) == []


def test_free_space_is_that_of_the_disk(tmp_path):
    assert 0 < storage.free_bytes(tmp_path) <= shutil.disk_usage(tmp_path).total
