"""Downloads that survive bad connections: resumed, tried again, verified, never half-written."""

import hashlib
import http.client
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

_CHUNK = 2**20
_LONGEST_WAIT_S = 60.0
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})


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
    in this call or in a later one, if the server says that its file is still the same.

    Args:
        url: http or https.
        file: where it is to be; appears when it is whole.
        size: in bytes, if known.
        checksum: such as "sha256:..." or "sha1:...", if known.
        attempts: how often to try without getting any further.
        timeout_s: longest silence of the server.
        backoff_s: wait before the second attempt; doubles with each one that follows.
        progress: told of every megabyte.

    Raises:
        ValueError: the file cannot be had, or is not what it should be.
        OSError: the disk is full, for instance; what has arrived is kept.
    """
    _refuse_other_schemes(url)
    if file.exists() and _mistake(file, size, checksum) is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch(url, part, timeout_s, progress)
            mistake = _mistake(part, size, checksum)
            if mistake is None:
                break
            error = _InterruptedError(mistake)
            if size is None or _size(part) >= size:  # no part of it can be trusted
                _discard(part)
                before = 0
        except _InterruptedError as interrupted:
            error = interrupted
        failures = 1 if _size(part) > before else failures + 1
        if failures >= attempts:
            raise ValueError(
                f"{url}: cannot be downloaded ({error}); check the connection, or get it in "
                f"another way and put it at {file}"
            ) from error
        time.sleep(max(error.wait_s, min(backoff_s * 2 ** (failures - 1), _LONGEST_WAIT_S)))
    part.replace(file)
    _validator_file(part).unlink(missing_ok=True)


def _fetch(url: str, part: Path, timeout_s: float, progress: Progress) -> None:
    """One attempt: appends to the part, or begins anew."""
    headers = {"User-Agent": "samplernn_jax", "Accept-Encoding": "identity"}
    have, validator = _size(part), _validator_file(part)
    if have and validator.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": validator.read_text(encoding="utf-8")}
    with _open(urllib.request.Request(url, headers=headers), part, timeout_s) as response:
        if response.status == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                _discard(part)
                raise _InterruptedError("the server sent another part than was asked for")
        else:
            have = 0
            _discard(part)
            _remember_validator(validator, response.headers)
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with part.open("ab") as output:
            for chunk in _chunks(response):
                output.write(chunk)
                have += len(chunk)
                progress(have, total)
    if total is not None and have < total:
        raise _InterruptedError(f"the server stopped after {have} of {total} bytes")


def _open(
    request: urllib.request.Request, part: Path, timeout_s: float
) -> http.client.HTTPResponse:
    opener = urllib.request.build_opener(_Redirects())
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # there is nothing after the part: too long, or of another file
                _discard(part)
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


def _remember_validator(file: Path, headers: http.client.HTTPMessage) -> None:
    etag = headers.get("ETag", "")
    validator = headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag
    if validator:
        file.write_text(validator, encoding="utf-8")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)
