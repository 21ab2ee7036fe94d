"""Downloads over bad connections, which are resumed, retried, verified and never half-written."""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

from samplernn_jax.checks import require

OnBytes = Callable[[int, int | None], None]
"""Called as on_bytes(done, total), in bytes; the total is None if unknown."""

_CHUNK = 2**16  # bytes that are lost if the server stalls
_LONGEST_WAIT_S = 60.0
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, *range(500, 600)})
_MOST_MISTAKES = 2


class _InterruptedError(Exception):
    """The server or the connection failed; another attempt may succeed."""

    def __init__(self, reason: object, wait_s: float = 0.0) -> None:
        super().__init__(str(reason))
        self.wait_s = wait_s


class _WrongContentError(_InterruptedError):
    """The file was complete but not the expected one."""


def download(
    url: str,
    file: Path,
    size: int | None = None,
    checksum: str | None = None,
    *,
    attempts: int = 5,
    timeout_s: float = 30.0,
    backoff_s: float = 1.0,
    on_bytes: OnBytes = lambda done, total: None,
) -> None:
    """Downloads a file, unless it exists already.

    An interrupted download leaves `file` with ".part" added to its name. This call or a later one
    resumes it, if the server says that its file is unchanged, or if there is a checksum.

    Args:
        url: the address, http or https.
        file: the file, which appears when the download is complete.
        size: the size in bytes, if known.
        checksum: the checksum, such as "sha256:..." or "sha1:...", if known.
        attempts: the number of attempts without any progress.
        timeout_s: the longest silence of the server.
        backoff_s: the wait before the second attempt; it doubles with every further one.
        on_bytes: called whenever data arrive.

    Raises:
        ValueError: the file cannot be downloaded, or is not the expected one.
        OSError: the disk is full, for instance; the part is kept.
    """
    _refuse_other_schemes(url)
    if file.exists() and _mistake(file, size, checksum) is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    furthest = failures = mistakes = 0
    while True:
        before = _size(part)
        try:
            _attempt(url, part, size, checksum, timeout_s, on_bytes)
            break
        except _InterruptedError as error:
            # Only bytes beyond all earlier attempts are progress: parts may be lost on the way.
            failures = 1 if _size(part) > max(before, furthest) else failures + 1
            furthest = max(furthest, _size(part))
            mistakes += isinstance(error, _WrongContentError)
            if failures >= attempts or mistakes >= _MOST_MISTAKES:
                raise _given_up(url, file, error) from error
            time.sleep(max(error.wait_s, min(backoff_s * 2 ** (failures - 1), _LONGEST_WAIT_S)))
    _finish(part, file)


def _given_up(url: str, file: Path, error: _InterruptedError) -> ValueError:
    return ValueError(
        f"{url}: cannot be downloaded ({error}); check the connection, or download the file in "
        f"another way and save it as {file}"
    )


def _attempt(
    url: str,
    part: Path,
    size: int | None,
    checksum: str | None,
    timeout_s: float,
    on_bytes: OnBytes,
) -> None:
    """Makes one attempt to complete the part; discards it if it is complete and wrong."""
    before = _size(part)
    _fetch(url, part, _resumption(part, checksum), timeout_s, on_bytes)
    mistake = _mistake(part, size, checksum)
    if mistake is None:
        return
    if size is None or _size(part) >= size or _size(part) == before:
        _discard(part)
        raise _WrongContentError(mistake)
    raise _InterruptedError(mistake)


def _resumption(part: Path, checksum: str | None) -> dict[str, str]:
    """Returns the headers that ask for the rest, unless two versions could be spliced unnoticed."""
    have, validator = _size(part), _remembered_validator(part)
    if not have or not (validator or checksum):
        return {}
    return {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})


def _fetch(
    url: str, part: Path, resumption: dict[str, str], timeout_s: float, on_bytes: OnBytes
) -> None:
    """Appends to the part, or begins anew."""
    headers = {"User-Agent": "samplernn_jax", "Accept-Encoding": "identity", **resumption}
    response = _open(urllib.request.Request(url, headers=headers), part, timeout_s)
    if response is None:
        return
    with response:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        if response.status == 206:
            have = _size(part)
            total = _total_of_range(response.headers, part)
        elif response.status == 200:
            have = 0
            _discard(part)
            _validator_file(part).write_text(_validator(response.headers), encoding="utf-8")
        else:
            raise ValueError(f"{url}: cannot be downloaded (HTTP status {response.status})")
        with part.open("ab") as output:
            for chunk in _chunks(response):
                output.write(chunk)
                have += len(chunk)
                on_bytes(have, total)
    if total is not None and have < total:
        raise _InterruptedError(f"the server stopped after {have} of {total} bytes")


def _total_of_range(headers: Message, part: Path) -> int | None:
    """Returns the size of the complete file; the server may send less than was asked for."""
    content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    remembered, sent = _remembered_validator(part), _validator(headers)
    same = not remembered or not sent or sent == remembered
    if content_range is None or int(content_range[1]) != _size(part) or not same:
        _discard(part)
        raise _InterruptedError("the server sent a different part than requested")
    return None if content_range[2] == "*" else int(content_range[2])


def _open(
    request: urllib.request.Request, part: Path, timeout_s: float
) -> http.client.HTTPResponse | None:
    """Returns the response, or None if the part is complete."""
    opener = urllib.request.build_opener(_Redirects())
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                if error.headers.get("Content-Range") == f"bytes */{_size(part)}":
                    return None
                _discard(part)  # too long, or of another file
                raise _InterruptedError(
                    "the server's file is shorter than the part already downloaded"
                ) from error
            if error.code in _WORTH_ANOTHER_TRY:
                raise _InterruptedError(error, _retry_after_s(error.headers)) from error
            raise ValueError(f"{request.full_url}: cannot be downloaded ({error})") from error
    except urllib.error.URLError as error:
        raise _InterruptedError(error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(error or type(error).__name__) from error
    return response


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except http.client.IncompleteRead as error:
        yield error.partial
        raise _InterruptedError(error) from error
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(error) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but not to local files or other protocols."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _refuse_other_schemes(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse_other_schemes(url: str) -> None:
    is_web = urllib.parse.urlsplit(url).scheme in ("http", "https")
    require(is_web, f"{url}: must be an http or https address")


def _retry_after_s(headers: Message) -> float:
    value = headers.get("Retry-After", "")
    return min(float(value), _LONGEST_WAIT_S) if value.isdigit() else 0.0


def _mistake(file: Path, size: int | None, checksum: str | None) -> str | None:
    """Returns the reason why a file is not the expected one; None if it is."""
    found = _size(file)
    if size is not None and found != size:
        return f"it has {found} bytes, not {size}"
    if checksum is not None:
        algorithm, _, expected = checksum.partition(":")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, algorithm).hexdigest()
        if digest != expected:
            return f"its {algorithm} is {digest}, not {expected}"
    return None


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _validator_file(part: Path) -> Path:
    """Returns the file that keeps the server's name for the part's version."""
    return part.with_name(f"{part.name}.version")


def _remembered_validator(part: Path) -> str:
    file = _validator_file(part)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _validator(headers: Message) -> str:
    """Returns the name of a version for If-Range; empty if there is none."""
    etag = headers.get("ETag", "")
    return headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag


def _finish(part: Path, file: Path) -> None:
    part.replace(file)
    _validator_file(part).unlink(missing_ok=True)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)
