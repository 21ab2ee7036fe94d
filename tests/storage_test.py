import pytest

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
