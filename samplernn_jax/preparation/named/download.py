"""Downloads that survive bad connections: resumed, tried again, verified, never half-written."""

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

Progress = Callable[[int, int | None], None]
"""Called as progress(bytes, total): what is there, and what there will be if that is known."""

_CHUNK = 2**16  # what is lost where the server stalls
_LONGEST_WAIT_S = 60.0
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, *range(500, 600)})
_TRIES_TO_GET_IT_RIGHT = 2


class _InterruptedError(Exception):
    """The server or the way to it failed; another attempt may succeed."""

    def __init__(self, reason: object, wait_s: float = 0.0) -> None:
        super().__init__(str(reason))
        self.wait_s = wait_s


def download(
    url: str,
    file: Path,
    size: int | None = None,
    checksum: str | None = None,
    *,
    attempts: int = 5,
    timeout_s: float = 30.0,
    backoff_s: float = 1.0,
    progress: Progress = lambda done, total: None,
) -> None:
    """Downloads a file, unless it is there already.

    An interrupted download leaves `file` with ".part" added to its name, and goes on from there,
    in this call or in a later one, if the server says that its file is still the same or the
    checksum will tell.

    Args:
        url: http or https.
        file: where it is to be; appears when it is whole.
        size: in bytes, if known.
        checksum: such as "sha256:..." or "sha1:...", if known.
        attempts: how often to try without getting any further.
        timeout_s: longest silence of the server.
        backoff_s: wait before the second attempt; doubles with each one that follows.
        progress: told of every piece that arrives.

    Raises:
        ValueError: the file cannot be had, or is not what it should be.
        OSError: the disk is full, for instance; what has arrived is kept.
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
            _fetch(url, part, _resumption(part, checksum), timeout_s, progress)
            mistake = _mistake(part, size, checksum)
            if mistake is None:
                break
            error = _InterruptedError(mistake)
            if size is None or _size(part) >= size or _size(part) == before:
                _discard(part)  # it is whole, and wrong
                mistakes += 1
        except _InterruptedError as interrupted:
            error = interrupted
        # Only what no attempt has reached counts as progress: parts may be lost on the way.
        failures = 1 if _size(part) > max(before, furthest) else failures + 1
        furthest = max(furthest, _size(part))
        if failures >= attempts or mistakes >= _TRIES_TO_GET_IT_RIGHT:
            raise ValueError(
                f"{url}: cannot be downloaded ({error}); check the connection, or get it in "
                f"another way and put it at {file}"
            ) from error
        time.sleep(max(error.wait_s, min(backoff_s * 2 ** (failures - 1), _LONGEST_WAIT_S)))
    part.replace(file)
    _validator_file(part).unlink(missing_ok=True)


def _resumption(part: Path, checksum: str | None) -> dict[str, str]:
    """The headers that ask for what is missing, where two versions cannot be spliced unnoticed."""
    have, validator = _size(part), _remembered_validator(part)
    if not have or not (validator or checksum):
        return {}
    return {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})


def _fetch(
    url: str, part: Path, resumption: dict[str, str], timeout_s: float, progress: Progress
) -> None:
    """One attempt: appends to the part, or begins anew."""
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
                progress(have, total)
    if total is not None and have < total:
        raise _InterruptedError(f"the server stopped after {have} of {total} bytes")


def _total_of_range(headers: Message, part: Path) -> int | None:
    """The size of the whole file, of which the server may send less than was asked for."""
    content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    remembered, sent = _remembered_validator(part), _validator(headers)
    same = not remembered or not sent or sent == remembered
    if content_range is None or int(content_range[1]) != _size(part) or not same:
        _discard(part)
        raise _InterruptedError("the server sent another part than was asked for")
    return None if content_range[2] == "*" else int(content_range[2])


def _open(
    request: urllib.request.Request, part: Path, timeout_s: float
) -> http.client.HTTPResponse | None:
    """The answer, or None if there is nothing after the part."""
    opener = urllib.request.build_opener(_Redirects())
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                if error.headers.get("Content-Range") == f"bytes */{_size(part)}":
                    return None
                _discard(part)  # too long, or of another file
                raise _InterruptedError("the server has less than was there already") from error
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
    """Follows redirections, but not to files of this machine or other protocols."""

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
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url}: must be an http or https address")


def _retry_after_s(headers: Message) -> float:
    value = headers.get("Retry-After", "")
    return min(float(value), _LONGEST_WAIT_S) if value.isdigit() else 0.0


def _mistake(file: Path, size: int | None, checksum: str | None) -> str | None:
    """What is wrong with a file, if anything."""
    found = _size(file)
    if size is not None and found != size:
        return f"it has {found} bytes, must be {size}"
    if checksum is not None:
        algorithm, _, expected = checksum.partition(":")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, algorithm).hexdigest()
        if digest != expected:
            return f"its {algorithm} is {digest}, must be {expected}"
    return None


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _validator_file(part: Path) -> Path:
    """Where the name is kept that the server gave to the version of which we have a part."""
    return part.with_name(f"{part.name}.version")


def _remembered_validator(part: Path) -> str:
    file = _validator_file(part)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _validator(headers: Message) -> str:
    """The name of a version that may stand in If-Range, if there is one."""
    etag = headers.get("ETag", "")
    return headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)
