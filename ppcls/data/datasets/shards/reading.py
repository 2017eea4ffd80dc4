"""Members of shards, read where the index says they are."""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple

from ppcls.data.datasets.base import PathTable, open_at_once
from ppcls.data.datasets.shards.scanning import BLOCK
from ppcls.errors import DataError

_OPEN = 64  # shards a process keeps open; it reads about as many streams as a sampler gives it
_AHEAD = 8 << 20  # bytes
_FIELD = 100  # bytes that a header has for a name
_PREFIX = 155  # bytes that some have for folders before it
_PIECE = 1 << 20  # the kernel reads no more than about as much for one call


@dataclass
class _Open:
    """An open shard.

    Attributes:
        ahead: where reading ahead has come to.
    """

    descriptor: int
    ahead: int = 0

    def announce(self, start: int, end: int) -> None:
        """Have the kernel read what follows, if reading goes from front to back.

        Samples leave a shuffling buffer out of order, but their foremost place moves on steadily. A read far ahead of
        it is none of these.
        """
        if end <= self.ahead:
            return
        if start > self.ahead + _AHEAD:
            self.ahead = end
            return
        while self.ahead < end + _AHEAD:
            _advise(self.descriptor, self.ahead, _PIECE, "POSIX_FADV_WILLNEED")
            self.ahead += _PIECE


class ShardFiles:
    """Reads members of many shards, of which few are open at a time. Forked processes open their own.

    Args:
        paths: of the shards.
    """

    def __init__(self, paths: PathTable) -> None:
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._paths = paths
        self._process = os.getpid()

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __del__(self) -> None:
        self.close()

    def path(self, shard: int) -> Path:
        """Return where a shard is."""
        return self._paths[shard]

    def close(self) -> None:
        """Close all shards; a later read opens them again."""
        while self._open:
            os.close(self._open.popitem()[1].descriptor)

    def member(self, shard: int, offset: int, size: int) -> Tuple[tarfile.TarInfo, bytes]:
        """Return a member's header and the first ``size`` bytes from ``offset``, where its data should be.

        Raises:
            DataError: it cannot be read, or there is no header.
        """
        try:
            data = self._read(shard, offset - BLOCK, size + BLOCK)
        except FileNotFoundError:
            raise DataError("no such shard") from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from None
        try:
            header = tarfile.TarInfo.frombuf(data[:BLOCK], "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise DataError(f"no member of the tar file begins at byte {offset - BLOCK}") from None
        return header, data[BLOCK:]

    def _read(self, shard: int, start: int, length: int) -> bytes:
        file = self._opened(shard)
        file.announce(start, start + length)
        parts, position, end = [], start, start + length
        while position < end:
            part = _read_at(file.descriptor, end - position, position)
            if not part:
                size = os.fstat(file.descriptor).st_size
                raise DataError(f"the shard ends at byte {size}, before this sample does: it is cut off, copy it again")
            parts.append(part)
            position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _opened(self, shard: int) -> _Open:
        if self._process != os.getpid():
            # What was opened before the fork is shared with other processes, and so is its reading ahead.
            self.close()
            self._process = os.getpid()
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        while len(self._open) >= _OPEN:
            os.close(self._open.popitem(last=False)[1].descriptor)
        file = _Open(open_at_once(self._paths[shard], os.O_RDONLY | getattr(os, "O_BINARY", 0)))
        _advise(file.descriptor, 0, 0, "POSIX_FADV_SEQUENTIAL")
        self._open[shard] = file
        return file


def may_be(shown: str, name: str) -> bool:
    """Return whether a header that shows one name can be that of the member of another.

    A name that does not fit stands before the header, whole. The header then shows a part of it, differently by writer:
    the first 99 or 100 bytes, with other characters, or none, for those beyond ASCII.
    """
    if unicodedata.normalize("NFC", shown) == unicodedata.normalize("NFC", name):
        return True
    size, length = (len(text.encode("utf-8", "surrogateescape")) for text in (shown, name))
    if length < _FIELD:
        # Either the header's bytes are another encoding's, or it shows all ASCII characters.
        if not shown.isascii():
            return bool(re.search("[\udc80-\udcff]", shown)) and not name.isascii()
        pieces = re.split(r"[^\x00-\x7f]+", name)
        return len(pieces) > 1 and re.fullmatch(".*".join(map(re.escape, pieces)), shown) is not None
    if size > _FIELD:
        return not _fits(name)
    return size >= _FIELD - 1 or not name.isascii()


def _fits(name: str) -> bool:
    """Return whether a header can hold a long name whole: folders before a slash, and the rest after it."""
    data = name.encode("utf-8", "surrogateescape")
    return data.find(b"/", len(data) - _FIELD - 1, _PREFIX + 1) > 0


def _advise(descriptor: int, start: int, length: int, advice: str) -> None:
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # file systems that take no advice
            os.posix_fadvise(descriptor, start, length, getattr(os, advice))


def _read_at(descriptor: int, length: int, position: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, length, position)
    os.lseek(descriptor, position, os.SEEK_SET)  # Windows; nobody else uses this descriptor
    return os.read(descriptor, length)
