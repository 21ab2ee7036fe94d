import errno
import hashlib
import re
import time
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from samplernn_jax.preparation.named import download as module
from samplernn_jax.preparation.named.download import download
from tests.preparation.named.served import serving

CONTENT = np.random.default_rng(0).bytes(100_000)
SIZE = len(CONTENT)
OTHER = np.random.default_rng(1).bytes(100_000)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
SHA1 = "sha1:" + hashlib.sha1(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """A well-behaved server of CONTENT; `server.plan` has a function for each misbehaviour."""

    def do_GET(self):
        self.server.requests.append(dict(self.headers))
        plan = self.server.plan
        if len(self.server.requests) > 50:  # instead of a test that never ends
            status(418)(self)
        else:
            (plan.pop(0) if plan else serve)(self)

    def log_message(self, *arguments):
        pass


def start_of_range(handler):
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    same = handler.headers.get("If-Range") in (None, '"v1"')
    return int(match[1]) if match and same else None


def serve(handler, content=CONTENT, etag='"v1"', send=None, length=None, range_len=None):
    """Answers as HTTP says; `send` bytes of the body only, `length` in place of the true one."""
    start = start_of_range(handler)
    if start is not None and start >= len(content):
        return status(416, Content_Range=f"bytes */{len(content)}")(handler)
    body = content[start or 0 :]
    if start is not None:
        body = body[:range_len]
    handler.send_response(200 if start is None else 206)
    if start is not None:
        stop = start + len(body)
        handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
    if etag:
        handler.send_header("ETag", etag)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body[:send])
    return None


def misbehave(**options):
    return lambda handler: serve(handler, **options)


def status(code, **headers):
    def answer(handler):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def stall(handler):
    serve(handler, send=80_000)
    handler.wfile.flush()
    time.sleep(0.4)


def ignore_range(handler):
    handler.headers.replace_header("Range", "") if "Range" in handler.headers else None
    serve(handler)


def wrong_part(handler):
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.send_header("Content-Length", str(len(CONTENT) - 5))
    handler.end_headers()
    handler.wfile.write(CONTENT[5:])


def hang_up(handler):
    handler.connection.close()
    handler.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Handler) as server:
        server.plan, server.requests = [], []
        server.url += "/data.zip"
        yield server


@pytest.fixture
def file(tmp_path):
    return tmp_path / "new" / "data.zip"


def fetch(server, file, size=SIZE, checksum=SHA256, **options):
    options = {"attempts": 3, "timeout_s": 0.2, "backoff_s": 0.01, **options}
    download(server.url, file, size, checksum, **options)


def assert_whole(file):
    assert file.read_bytes() == CONTENT
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_is_downloaded_and_progress_told(server, file):
    told = []
    fetch(server, file, on_bytes=lambda done, total: told.append((done, total)))
    assert_whole(file)
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_what_is_there_is_not_downloaded_again(server, file):
    for checksum in (SHA256, SHA1, None):
        fetch(server, file, checksum=checksum)
    assert len(server.requests) == 1


def test_what_is_there_and_wrong_is_downloaded_anew(server, file):
    file.parent.mkdir()
    file.write_bytes(OTHER)
    fetch(server, file)
    assert_whole(file)


@pytest.mark.parametrize(
    "misbehaviour",
    [
        misbehave(send=30_000),
        misbehave(send=30_000, length=30_000),
        misbehave(length=200_000),
        stall,
        hang_up,
        status(500),
        status(520),
        status(503, Retry_After="0"),
        status(429),
        status(408),
        wrong_part,
    ],
    ids=[
        *("truncates", "promises_too_little", "promises_too_much", "stalls", "hangs_up"),
        *("500", "520", "503", "429", "408", "other_part"),
    ],
)
def test_a_server_that_fails_for_a_while_is_asked_again(server, file, misbehaviour):
    server.plan = [misbehaviour, misbehaviour]
    fetch(server, file)
    assert_whole(file)


@pytest.mark.parametrize("content", [CONTENT + b"more", OTHER, CONTENT[:-1]])
def test_what_is_wrong_is_downloaded_once_more(server, file, content):
    server.plan = [misbehave(content=content)]
    fetch(server, file)
    assert_whole(file)
    server.plan, server.requests[:] = [misbehave(content=content)] * 99, []
    file.unlink()
    with pytest.raises(ValueError, match="cannot be downloaded"):
        fetch(server, file, attempts=9)
    assert sum("Range" not in request for request in server.requests) == 2
    assert not list(file.parent.iterdir())


def test_a_server_that_never_gets_further_is_given_up(server, file):
    for etag in (None, '"v0"'):
        server.requests.clear()
        server.plan = [misbehave(send=n, etag=etag) for n in (20_000, 30_000) * 25]
        with pytest.raises(ValueError, match="stopped after"):
            fetch(server, file, size=None, checksum=None)
        assert len(server.requests) <= 5


def test_an_interrupted_download_is_resumed(server, file):
    server.plan = [misbehave(send=30_000), misbehave(send=25_000)]
    fetch(server, file, attempts=1 + 1)
    assert_whole(file)
    ranges = [request.get("Range") for request in server.requests]
    assert ranges == [None, "bytes=30000-", "bytes=55000-"]


def test_a_later_call_resumes_what_an_earlier_one_left(server, file):
    server.plan = [misbehave(send=30_000), status(500), status(500)]
    with pytest.raises(ValueError, match="cannot be downloaded"):
        fetch(server, file, attempts=2)
    assert not file.exists()
    fetch(server, file)
    assert_whole(file)
    assert server.requests[-1]["Range"] == "bytes=30000-"


def test_getting_further_counts_as_no_failure(server, file):
    server.plan = [misbehave(send=9_000)] * 10
    fetch(server, file, attempts=2)
    assert_whole(file)


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, file):
    server.plan = [misbehave(send=30_000), ignore_range]
    fetch(server, file)
    assert_whole(file)


def test_a_server_may_send_less_than_was_asked_for(server, file):
    server.plan = [misbehave(send=30_000), misbehave(range_len=20_000)]
    fetch(server, file, size=None, checksum=None)
    assert_whole(file)


def test_a_part_that_is_whole_is_not_downloaded_again(server, file):
    file.parent.mkdir()
    file.with_name("data.zip.part").write_bytes(CONTENT)
    fetch(server, file, on_bytes=lambda done, total: pytest.fail("something was sent"))
    assert_whole(file)


def test_what_came_before_a_stall_is_kept(server, file):
    server.plan = [stall]
    fetch(server, file)
    assert_whole(file)
    assert int(server.requests[-1]["Range"][len("bytes=") : -1]) >= 65_536


def test_two_versions_are_never_spliced(server, file):
    server.plan = [misbehave(content=OTHER, etag='"v0"', send=30_000)]
    fetch(server, file, size=None, checksum=None)
    assert_whole(file)
    assert server.requests[-1]["If-Range"] == '"v0"'


def test_nor_if_the_server_does_not_know_if_range(server, file):
    def ignore_if_range(handler):
        handler.headers.replace_header("If-Range", '"v1"')
        serve(handler)

    server.plan = [misbehave(content=OTHER, etag='"v0"', send=30_000), ignore_if_range]
    fetch(server, file, size=None, checksum=None)
    assert_whole(file)


def test_without_a_name_of_the_version_only_what_can_be_checked_is_resumed(server, file):
    for checksum in (None, SHA256):
        server.plan = [misbehave(etag=None, send=30_000)]
        fetch(server, file, size=None, checksum=checksum)
        assert_whole(file)
        assert ("Range" in server.requests[-1]) == (checksum is not None)
        file.unlink()


def test_a_part_that_is_too_long_is_begun_anew(server, file):
    file.parent.mkdir()
    file.with_name("data.zip.part").write_bytes(CONTENT + b"more")
    file.with_name("data.zip.part.version").write_text('"v1"')
    server.plan = [status(416)]
    fetch(server, file)
    assert_whole(file)


def test_redirections_are_followed(server, file):
    server.plan = [status(302, Location="/elsewhere")]
    fetch(server, file)
    assert_whole(file)


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_other_schemes_are_refused_also_in_redirections(server, file, scheme):
    server.plan = [status(302, Location=scheme)]
    with pytest.raises(ValueError, match=r"must be an http or https address|is not allowed"):
        fetch(server, file)
    with pytest.raises(ValueError, match="must be an http or https address"):
        download(scheme, file)
    assert not file.exists()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([status(404)], "404"),
        ([status(403)], "403"),
        ([status(204)], "204"),
        ([misbehave(content=OTHER)] * 9, "its sha256 is [0-9a-f]{64}, not"),
        ([misbehave(content=CONTENT[:-1])] * 9, "it has 99999 bytes, not 100000"),
        ([status(302, Location="/data.zip")] * 99, "redirect"),
    ],
)
def test_what_cannot_be_had_is_one_sentence_with_the_address(server, file, plan, message):
    server.plan = plan
    with pytest.raises(ValueError, match=message) as error:
        fetch(server, file)
    assert server.url in str(error.value)
    assert not file.exists()


def test_offline_is_said_with_what_to_do(file, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(ValueError, match=r"refused.*check the connection.* save it as .*data.zip"):
        download("http://127.0.0.1:9/data.zip", file, attempts=2, backoff_s=0.01)


def test_waits_double_and_what_the_server_asks_for_is_kept(server, file, monkeypatch):
    waits = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    server.plan = [status(500), status(500), status(500), status(503, Retry_After="7")]
    fetch(server, file, attempts=9, backoff_s=1.0)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    server.plan = [status(429, Retry_After="100000")]
    file.unlink()
    fetch(server, file, backoff_s=1.0)
    assert waits[-1] == 60.0


def test_a_full_disk_passes_through_and_what_came_is_kept(server, file, monkeypatch):
    def full(done, total):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fetch(server, file, on_bytes=full)
    assert not file.exists()
    assert file.with_name("data.zip.part").stat().st_size > 0
    fetch(server, file)
    assert_whole(file)
