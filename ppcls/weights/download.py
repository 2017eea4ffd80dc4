"""Files over HTTP: resumed after a break, checked, and in their place whole or not at all.

While a download runs, ``NAME.part`` holds what has come, ``NAME.part.json`` says which version of which file that is,
and ``NAME.lock`` keeps other processes waiting.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Optional

from tqdm import tqdm

from ppcls.errors import WeightsError
from ppcls.utils import digests
from ppcls.utils.logging import get_logger

_BLOCK = 1 << 18
# So much more of a file is progress, after which the count of failures starts anew.
_PROGRESS = 1 << 20
# Answers after which asking again can help.
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class _FailedError(Exception):
    """The transfer failed in a way that another attempt will not mend."""


class _BrokenError(Exception):
    """The transfer failed in a way that another attempt may mend."""


@dataclass(frozen=True)
class Patience:
    """How long a download tries.

    Attributes:
        timeout: seconds without a byte after which a connection counts as broken.
        attempts: without progress, after which the download is given up.
        pause: seconds before the second attempt; doubled each time, up to 16 times.
        lock: seconds to wait for another process that downloads the same file.
    """

    timeout: float = 30.0
    attempts: int = 5
    pause: float = 0.5
    lock: float = 3600.0


@dataclass(frozen=True)
class _Version:
    """Which file a part belongs to; ``tag`` is a strong ETag or a date, without which nothing can be resumed."""

    url: str
    tag: Optional[str] = None
    size: Optional[int] = None


def is_url(text: str) -> bool:
    """Return whether ``text`` is meant as a URL rather than as a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def download(url: str, target: Path, sha256: Optional[str] = None, patience: Optional[Patience] = None) -> Path:
    """Fetch a file unless it is at ``target`` already; return ``target``.

    Args:
        sha256: of the file, or its beginning.

    Raises:
        WeightsError: another scheme than http and https, a failure that does not pass, or a file of another checksum.
    """
    patience = patience or Patience()
    _check_scheme(url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target, patience.lock):
            if not target.is_file():
                _fetch(url, target, sha256, patience)
    except _FailedError as error:
        raise WeightsError(
            f"{url}: {error}. Without a network, fetch that file elsewhere and put it at {target}"
        ) from None
    except OSError as error:
        raise WeightsError(f"{target}: cannot be written: {error.strerror or error}") from None
    return target


@contextlib.contextmanager
def locked(target: Path, wait: float) -> Iterator[None]:
    """Keep other processes from making ``target``; the lock ends with this process, however that ends.

    Raises:
        WeightsError: another process still holds it after ``wait`` seconds.
    """
    with target.with_name(target.name + ".lock").open("a") as file:
        end, told = time.monotonic() + wait, False
        while not _try_lock(file):
            if time.monotonic() > end:
                raise WeightsError(f"{target}: another process has been fetching it for more than {wait:g} s")
            if not told:
                get_logger().info("waiting for another process that fetches %s", target)
            told = True
            time.sleep(0.05)
        yield  # closing the file frees the lock


def _try_lock(file: Any) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_sha256(path: Path, expected: Optional[str]) -> Optional[str]:
    """Return a file's SHA-256 if it does not start with ``expected``; None if it does or nothing is expected."""
    if expected is None:
        return None
    found = digests.sha256(path)
    return None if found.startswith(expected.lower()) else found


def _check_scheme(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WeightsError(f"{url}: weights are fetched by http and https only")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but to no other scheme and from https to https alone."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request for the new place."""
        _check_scheme(newurl)
        if req.type == "https" and urllib.parse.urlsplit(newurl).scheme != "https":
            raise WeightsError(f"{req.full_url}: redirects to {newurl}, which is not encrypted; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, target: Path, sha256: Optional[str], patience: Patience) -> None:
    part, notes = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.json")
    failures, best, wrong = 0, _size(part), 0
    while True:
        try:
            resumed = _attempt(url, part, notes, patience.timeout)
            found = check_sha256(part, sha256)
            if found is None:
                break
            part.unlink()
            wrong += 1
            if wrong > 1 or not resumed:  # what was resumed may have begun as another file
                raise _FailedError(f"its sha256 is {found} instead of {sha256}...; it was deleted")
        except (_BrokenError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            failures = 1 if _size(part) >= best + _PROGRESS else failures + 1
            best = max(best, _size(part))
            if failures >= patience.attempts:
                raise _FailedError(f"cannot be downloaded ({reason}; {failures} attempts)") from None
            get_logger().warning("%s: %s; trying again", url, reason)
            time.sleep(patience.pause * min(2 ** (failures - 1), 16))
    part.replace(target)
    notes.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _attempt(url: str, part: Path, notes: Path, timeout: float) -> bool:
    """Fetch the rest of ``part``, or all of it; return whether it was the rest.

    Raises:
        _BrokenError: the connection, or the server's answer, ends before the file does.
    """
    known, have = _known(notes, url), _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "ppcls", "Accept-Encoding": "identity"})
    if have and known.tag:
        if have == known.size:
            return True
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", known.tag)
    try:
        # An own opener, without the handlers of files and FTP that urlopen has.
        answer = urllib.request.build_opener(_Redirects).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # a part longer than the file: it is of no use
            part.unlink(missing_ok=True)
            raise _BrokenError("the server has less than what was fetched before") from None
        if error.code not in _TRANSIENT:
            raise _FailedError(f"the server answers {error.code} {error.reason}") from None
        raise _BrokenError(f"the server answers {error.code} {error.reason}") from None
    except OSError as error:
        raise _BrokenError(str(getattr(error, "reason", None) or error)) from None
    with answer:
        resumed = answer.status == 206
        if resumed and not _continues(answer, have, known):
            notes.unlink(missing_ok=True)  # the next attempt asks for all of it
            raise _BrokenError("the server sends another part than was asked for")
        start = have if resumed else 0
        length = answer.headers.get("Content-Length")
        size = start + int(length) if length and length.isdigit() else None
        _check_answer(answer)
        if not resumed:
            notes.write_text(json.dumps(asdict(_Version(url, _tag(answer), size))), encoding="utf-8")
        with part.open("ab" if resumed else "wb") as file:
            _receive(answer, file, start, size, part.name[: -len(".part")])
    return resumed


def _known(notes: Path, url: str) -> _Version:
    """Return what the part is, as noted when it was begun."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        version = _Version(**json.loads(notes.read_text(encoding="utf-8")))
        if version.url == url:
            return version
    return _Version(url)


def _continues(answer: Any, have: int, known: _Version) -> bool:
    """Return whether the server's part begins where ours ends, and is of a file as long as ours."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have:
        return False
    return match[3] == "*" or known.size in (None, int(match[3]))


def _tag(answer: Any) -> Optional[str]:
    """Return what tells this version of the file from others; a weak ETag does not tell bytes."""
    etag: Optional[str] = answer.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")


def _check_answer(answer: Any) -> None:
    if answer.status not in (200, 206):
        raise _FailedError(f"the server answers {answer.status} {answer.reason}")
    if answer.headers.get_content_type() == "text/html":  # the login page of a hotel's network, or of a file host
        raise _FailedError("the server sends a web page instead of weights")


def _receive(answer: Any, file: BinaryIO, start: int, size: Optional[int], name: str) -> None:
    have = start
    # disable=None: no bar where the output is no terminal.
    with tqdm(total=size, initial=start, unit="B", unit_scale=True, unit_divisor=1024, desc=name, disable=None) as bar:
        while True:
            try:
                block = answer.read1(_BLOCK)
            except OSError as error:  # not to be confused with one of the disk
                raise _BrokenError(f"the connection broke after {have} bytes ({error})") from None
            if not block:
                break
            file.write(block)
            have += len(block)
            bar.update(len(block))
    if size is not None and have != size:
        raise _BrokenError(f"the connection ended after {have} of {size} bytes")
