"""Downloads over HTTP that can be resumed and are checked; a file is at its final path only when it is complete.

While a download runs, ``NAME.part`` holds the bytes so far, ``NAME.part.json`` records which version of which file they
belong to, and ``NAME.lock`` makes other processes wait.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, ContextManager, Optional

from tqdm import tqdm

from ppcls.errors import WeightsError
from ppcls.utils import atomic, digests, http, json_text
from ppcls.utils.locks import locked
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import add_suffix

# After this many more bytes, failures are counted from the start again.
_PROGRESS = 1 << 20
_WEB_PAGE = "the server, or a network that asks for a login, sends a web page instead of weights"
# Status codes after which another attempt can help.
_RETRYABLE = (408, 425, 429, 500, 502, 503, 504)


class _PermanentError(Exception):
    """The transfer failed, and another attempt would fail too."""


class _TemporaryError(Exception):
    """The transfer failed, and another attempt may succeed."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a download is tried.

    Attributes:
        timeout: seconds without a byte after which a connection counts as broken.
        attempts: number of attempts without progress before giving up.
        patience: seconds without progress after which no further attempt is made.
        pause: seconds before the second attempt; doubled each time, up to 16 times.
        lock: seconds to wait for another process that downloads the same file.
    """

    timeout: float = 30.0
    attempts: int = 5
    patience: float = 60.0
    pause: float = 0.5
    lock: float = 3600.0


@dataclass(frozen=True)
class _Version:
    """Which file a part belongs to; ``tag`` is a strong ETag or a date, without which it cannot be resumed."""

    url: str
    tag: Optional[str] = None
    size: Optional[int] = None


def is_url(text: str) -> bool:
    """Return whether ``text`` is meant as a URL rather than as a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def download(url: str, target: Path, sha256: Optional[str] = None, policy: Optional[RetryPolicy] = None) -> Path:
    """Fetch a file unless it is at ``target`` already; return ``target``.

    Args:
        sha256: of the file, or the beginning of it.

    Raises:
        WeightsError: the scheme is not http or https, the download fails, or the checksum differs.
        MachineError: another process has been fetching the same file for too long.
    """
    policy = policy or RetryPolicy()
    try:
        http.check_url(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        with download_lock(target, policy):
            if not target.is_file():
                _fetch(url, target, sha256, policy)
    except http.ForbiddenError as error:
        raise WeightsError(f"{url}: {error}") from None
    except _PermanentError as error:
        raise WeightsError(
            f"{url}: {error}. Without a network, fetch that file elsewhere and put it at {target}"
        ) from None
    except OSError as error:
        raise WeightsError(f"{target}: cannot be written: {error.strerror or error}") from None
    return target


def download_lock(target: Path, policy: RetryPolicy) -> ContextManager[None]:
    """Lock ``target`` against other processes; wait while another one holds the lock.

    Raises:
        MachineError: another process still holds the lock after ``policy.lock`` seconds.
    """
    advice = f"wait for it or stop it, or put the file there yourself: {target}"
    return locked(add_suffix(target, ".lock"), str(target), "is fetching this file", advice, policy.lock)


def check_sha256(path: Path, expected: Optional[str]) -> Optional[str]:
    """Return a file's SHA-256 if it does not start with ``expected``; None if it does or nothing is expected."""
    if expected is None:
        return None
    digest = digests.sha256(path)
    return None if digest.startswith(expected.lower()) else digest


def _fetch(url: str, target: Path, sha256: Optional[str], policy: RetryPolicy) -> None:
    part, notes = add_suffix(target, ".part"), add_suffix(target, ".part.json")
    failures, best, wrong = 0, _size(part), 0
    begun = time.monotonic()
    while True:
        try:
            resumed = _attempt(url, part, notes, policy.timeout)
            _refuse_web_page(part)
            wrong_digest = check_sha256(part, sha256)
            if wrong_digest is None:
                break
            part.unlink()
            wrong += 1
            if wrong > 1 or not resumed:  # what was resumed may have begun as another file
                raise _PermanentError(f"its sha256 is {wrong_digest} instead of {sha256}...; it was deleted")
        except (_TemporaryError, http.TransferError) as error:
            if _size(part) >= best + _PROGRESS:
                failures, begun = 0, time.monotonic()
            failures += 1
            best = max(best, _size(part))
            pause, waited = policy.pause * min(2 ** (failures - 1), 16), time.monotonic() - begun
            if failures >= policy.attempts or waited + pause >= policy.patience:
                raise _PermanentError(f"cannot be downloaded ({error}; {failures} attempts)") from None
            get_logger().warning(
                "%s: %s; attempt %d of %d failed, trying again in %.1f s", url, error, failures, policy.attempts, pause
            )
            time.sleep(pause)
    atomic.move_into_place(part, target)
    notes.unlink(missing_ok=True)


def _refuse_web_page(part: Path) -> None:
    """Delete a page that came as if it were a file, as login pages of networks do; no weights begin like one."""
    with part.open("rb") as file:
        start = file.read(64)
    if start.lstrip().startswith(b"<"):
        part.unlink()
        raise _PermanentError(_WEB_PAGE)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _attempt(url: str, part: Path, notes: Path, timeout: float) -> bool:
    """Download to ``part``, resuming if possible; return whether it resumed.

    Raises:
        _TemporaryError, TransferError: the transfer ended early, and another attempt may succeed.
        _PermanentError: the server refuses, or sends something else.
    """
    known, have = _known(notes, url), _size(part)
    headers = {"Accept-Encoding": "identity"}
    if have and known.tag:
        if have == known.size:
            return True
        headers.update({"Range": f"bytes={have}-", "If-Range": known.tag})
    try:
        with http.get(url, http.Policy(idle_timeout=timeout, allow_https_downgrade=False), headers) as response:
            return _receive(response, url, part, notes, have, known)
    except http.StatusError as error:
        if error.status == 416:  # a part longer than the file: it is of no use
            part.unlink(missing_ok=True)
            raise _TemporaryError("the server has less than what was fetched before") from None
        raise (_TemporaryError if error.status in _RETRYABLE else _PermanentError)(str(error)) from None


def _receive(response: http.Response, url: str, part: Path, notes: Path, have: int, known: _Version) -> bool:
    """Write a response to ``part``: append it to what is there, or replace that; return whether it was appended."""
    resumed = response.status == 206
    if resumed and not _continues(response, have, known):
        notes.unlink(missing_ok=True)  # the next attempt asks for the whole file
        raise _TemporaryError("the server sends another part than was asked for")
    if response.headers.get_content_type() == "text/html":  # the login page of a hotel's network, or of a file host
        raise _PermanentError(_WEB_PAGE)
    if not resumed:
        notes.write_text(json_text.dumps(asdict(_Version(url, _tag(response), response.size))), encoding="utf-8")
    with part.open("ab" if resumed else "wb") as file:
        _write(response, file, part.name[: -len(".part")])
    return resumed


def _write(response: http.Response, file: BinaryIO, name: str) -> None:
    start, size = response.start, response.size
    # disable=None: no bar where the output is no terminal.
    with tqdm(total=size, initial=start, unit="B", unit_scale=True, unit_divisor=1024, desc=name, disable=None) as bar:
        for block in response.blocks():
            file.write(block)
            bar.update(len(block))


def _known(notes: Path, url: str) -> _Version:
    """Return the recorded version of the part."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        version = _Version(**json.loads(notes.read_text(encoding="utf-8")))
        if version.url == url:
            return version
    return _Version(url)


def _continues(response: http.Response, have: int, known: _Version) -> bool:
    """Return whether the response begins where the part ends, and belongs to a file of the recorded size."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have:
        return False
    return match[3] == "*" or known.size in (None, int(match[3]))


def _tag(response: http.Response) -> Optional[str]:
    """Return a strong ETag or else the date of the file; a weak ETag does not identify its bytes."""
    etag: Optional[str] = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
