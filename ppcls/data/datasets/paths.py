"""The paths of many files, in little memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, Iterator, Sequence

import numpy as np

from ppcls.errors import DataError
from ppcls.utils.encoding import as_file_name
from ppcls.utils.files import read_regular_file


class StringTable:
    """Many strings in one bytes object and one array.

    Forked workers share them. A list of strings would be copied into every worker over time, because reference counting
    writes to each string.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        self._bytes = b"".join(encoded)

    @classmethod
    def concatenate(cls, tables: Sequence[StringTable]) -> StringTable:
        """Return one table with the strings of several tables, in order."""
        result = cls(())
        result._bytes = b"".join(table._bytes for table in tables)
        starts = np.cumsum([0, *(len(table._bytes) for table in tables)])
        result._ends = np.concatenate([table._ends + start for table, start in zip(tables, starts)])
        return result

    def __getitem__(self, index: int) -> str:
        start = int(self._ends[index - 1]) if index else 0
        return self._bytes[start : int(self._ends[index])].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self._ends.tolist():
            yield self._bytes[start:end].decode("utf-8", "surrogateescape")
            start = end

    def __len__(self) -> int:
        return len(self._ends)

    def content(self) -> Iterator[bytes]:
        """Yield bytes that are equal for equal strings."""
        yield self._ends.tobytes()
        yield self._bytes


class PathTable:
    """Many paths in one folder.

    Args:
        root: the folder.
        paths: relative to ``root``, or absolute.
    """

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self.root = root
        self._prefix = str(root)
        self._names = StringTable(paths)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Path:
        return self.root / as_file_name(self._names[index])

    def text(self, index: int) -> str:
        """Return a path as text, which is faster."""
        return os.path.join(self._prefix, as_file_name(self._names[index]))  # noqa: PTH118 - a million Path objects take seconds

    def absolute(self) -> Iterator[str]:
        """Yield the absolute paths, without ``.`` and ``..`` in them; only links of the folder itself are followed."""
        root = str(self.root.resolve())
        for name in self._names:
            path = os.path.join(root, name)  # noqa: PTH118 - a million Path objects take seconds
            yield os.path.normpath(path) if "/." in path or "//" in path or os.sep != "/" else path

    def content(self) -> Iterator[bytes]:
        """Yield bytes that are equal for equal paths, without the folder."""
        return self._names.content()

    def read(self, index: int) -> bytes:
        """Return a file's content.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return read_regular_file(self[index])
        except FileNotFoundError:
            raise DataError("no such file") from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from None
