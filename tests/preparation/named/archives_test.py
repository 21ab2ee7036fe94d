import io
import tarfile
import zipfile

import pytest

from samplernn_jax.preparation.named.archives import extract

FILES = {"a/x.wav": b"x" * 1000, "a/b/y.wav": b"y" * 500, "list.txt": b"a/x.wav\n"}


def make_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path, files, mode="w:gz", **options):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in options.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_all_kinds_are_unpacked(tmp_path, ending):
    path = tmp_path / f"data.{ending}"
    if ending == "zip":
        make_zip(path, FILES)
    else:
        make_tar(path, FILES, "w:" + ending.removeprefix("tar").removeprefix("."))
    extract(path, tmp_path / "out")
    found = {
        file.relative_to(tmp_path / "out").as_posix(): file.read_bytes()
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    }
    assert found == FILES


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:/evil"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_what_leads_out_of_the_folder_is_refused(tmp_path, make, name):
    path = make(tmp_path / "data", {"good": b"1", name: b"2"})
    with pytest.raises(ValueError, match="leads out of the folder"):
        extract(path, tmp_path / "in" / "out")
    assert [file.name for file in tmp_path.rglob("*")] in (["data", "in"], ["in", "data"])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = make_tar(tmp_path / "data", {"x": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(ValueError, match="'x' is neither file nor folder"):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_in_a_zip_are_refused(tmp_path):
    member = zipfile.ZipInfo("x")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr(member, "/etc")
    with pytest.raises(ValueError, match="'x' is neither file nor folder"):
        extract(tmp_path / "data.zip", tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_more_than_is_allowed_is_refused(tmp_path, make):
    path = make(tmp_path / "data", {"x": b"0" * 600, "y": b"0" * 600})
    with pytest.raises(ValueError, match="but at most 1000 are"):
        extract(path, tmp_path / "out", max_bytes=1000)
    extract(path, tmp_path / "out", max_bytes=1200)


@pytest.mark.parametrize("ending", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_damaged_archives_are_named_and_leave_nothing(tmp_path, ending):
    path = tmp_path / f"data.{ending}"
    files = {"x": bytes(range(256)) * 400}
    if ending == "zip":
        make_zip(path, files)
    else:
        make_tar(path, files, "w:" + ending.removeprefix("tar."))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"data.*is damaged or not an archive"):
        extract(path, tmp_path / "out")
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(ValueError, match=r"data.*is damaged or not an archive"):
        extract(path, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("flag", "method"), [(1, 0), (0, 97)], ids=["password", "method"])
def test_a_zip_that_cannot_be_read_is_named(tmp_path, flag, method):
    path = make_zip(tmp_path / "data.zip", {"x": b"1"})
    content = bytearray(path.read_bytes())
    for header, field in ((content.index(b"PK\x03\x04"), 6), (content.index(b"PK\x01\x02"), 8)):
        content[header + field] |= flag
        content[header + field + 2] = method or content[header + field + 2]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"data.zip: is damaged"):
        extract(path, tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_one_name_for_file_and_folder_is_refused(tmp_path, make):
    path = make(tmp_path / "data", {"x": b"1", "x/y": b"2"})
    with pytest.raises(ValueError, match="data: is damaged"):
        extract(path, tmp_path / "out")


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = make_zip(tmp_path / "inner.zip", FILES)
    path = make_tar(tmp_path / "data.tar", {"inner.zip": inner.read_bytes()}, "w")
    extract(path, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["inner.zip"]
