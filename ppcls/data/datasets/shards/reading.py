"""Read members of shards at the positions that the index gives."""

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

from ppcls.data.datasets.paths import PathTable
from ppcls.data.datasets.shards.scanning import BLOCK
from ppcls.errors import DataError
from ppcls.utils.files import open_nonblocking

_MAX_OPEN = 64  # open shards per process; enough for the streams that a sampler usually gives to one process
_READ_AHEAD = 8 << 20  # bytes
_READ_AHEAD_STEP = 1 << 20  # bytes; about as much as the kernel reads for one call
_NAME_FIELD = 100  # bytes for the name in a tar header
_PREFIX_FIELD = 155  # bytes for the folders before the name in some tar headers


@dataclass
class _OpenShard:
    """An open shard.

    Attributes:
        requested: position up to which the kernel was asked to read ahead.
    """

    descriptor: int
    requested: int = 0

    def read_ahead(self, start: int, end: int) -> None:
        """Ask the kernel to read what follows, if the shard is read sequentially.

        Samples leave a shuffle buffer out of order, but their foremost position advances steadily. A read far beyond it
        is not sequential.
        """
        if end <= self.requested:
            return
        if start > self.requested + _READ_AHEAD:
            self.requested = end
            return
        while self.requested < end + _READ_AHEAD:
            _advise(self.descriptor, self.requested, _READ_AHEAD_STEP, "POSIX_FADV_WILLNEED")
            self.requested += _READ_AHEAD_STEP


class ShardFiles:
    """Reads members of many shards and keeps only some of them open. Forked processes open their own files.

    Args:
        paths: paths of the shards.
    """

    def __init__(self, paths: PathTable) -> None:
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
        self._paths = paths
        self._process = os.getpid()

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __del__(self) -> None:
        self.close()

    def path(self, shard: int) -> Path:
        """Return the path of a shard."""
        return self._paths[shard]

    def close(self) -> None:
        """Close all shards. A later read opens them again."""
        while self._open:
            os.close(self._open.popitem()[1].descriptor)

    def read_member(self, shard: int, offset: int, size: int) -> Tuple[tarfile.TarInfo, bytes]:
        """Return the header before ``offset`` and ``size`` bytes of data from there.

        Raises:
            DataError: they cannot be read, or there is no header.
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
        file = self._open_shard(shard)
        file.read_ahead(start, start + length)
        parts, position, end = [], start, start + length
        while position < end:
            part = _read_at(file.descriptor, end - position, position)
            if not part:
                size = os.fstat(file.descriptor).st_size
                raise DataError(f"the shard ends at byte {size}, before this sample does: it is cut off, copy it again")
            parts.append(part)
            position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _open_shard(self, shard: int) -> _OpenShard:
        if self._process != os.getpid():
            # Files opened before the fork are shared with other processes, and so is their read-ahead state.
            self.close()
            self._process = os.getpid()
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        while len(self._open) >= _MAX_OPEN:
            os.close(self._open.popitem(last=False)[1].descriptor)
        file = _OpenShard(open_nonblocking(self._paths[shard], os.O_RDONLY | getattr(os, "O_BINARY", 0)))
        _advise(file.descriptor, 0, 0, "POSIX_FADV_SEQUENTIAL")
        self._open[shard] = file
        return file


def name_matches(header_name: str, name: str) -> bool:
    """Return whether a header with ``header_name`` can belong to the member ``name``.

    A name that does not fit into the header is stored in front of it. The header then has a part of the name that
    depends on the program that wrote it: the first 99 or 100 bytes, with non-ASCII characters replaced or left out.
    """
    if unicodedata.normalize("NFC", header_name) == unicodedata.normalize("NFC", name):
        return True
    header_size, size = (len(text.encode("utf-8", "surrogateescape")) for text in (header_name, name))
    if size < _NAME_FIELD:
        # Either the header has another encoding, or it has all the ASCII characters.
        if not header_name.isascii():
            return bool(re.search("[\udc80-\udcff]", header_name)) and not name.isascii()
        pieces = re.split(r"[^\x00-\x7f]+", name)
        return len(pieces) > 1 and re.fullmatch(".*".join(map(re.escape, pieces)), header_name) is not None
    if header_size > _NAME_FIELD:
        return not _fits_into_header(name)
    return header_size >= _NAME_FIELD - 1 or not name.isascii()


def _fits_into_header(name: str) -> bool:
    """Return whether a long name fits into a header, with its folders in the prefix field."""
    data = name.encode("utf-8", "surrogateescape")
    return data.find(b"/", len(data) - _NAME_FIELD - 1, _PREFIX_FIELD + 1) > 0


def _advise(descriptor: int, start: int, length: int, advice: str) -> None:
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # some file systems do not support it
            os.posix_fadvise(descriptor, start, length, getattr(os, advice))


def _read_at(descriptor: int, length: int, position: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, length, position)
    os.lseek(descriptor, position, os.SEEK_SET)  # Windows; no other thread uses this descriptor
    return os.read(descriptor, length)
