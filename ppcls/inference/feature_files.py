"""Files of features: one row per image."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Protocol, Union

import numpy as np

from ppcls.errors import ConfigError, DataError
from ppcls.inference import results
from ppcls.utils import atomic, json_text
from ppcls.utils.paths import user_path

SUFFIXES = (".npy", ".parquet")
_ROWS = 1024  # of a Parquet file, in memory before they are written
Features = Union[np.ndarray, DataError]


class Writer(Protocol):
    """Takes the features of images one by one."""

    def add(self, name: str, features: Features) -> None:
        """Write the row of one image: features [num_features] float32, or the image's error."""


def check(path: Path) -> None:
    """Check the file for features, before any work.

    Raises:
        ConfigError: the suffix is unknown.
        MachineError: the folder does not exist or cannot be written in, or a package is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: the suffix gives the format; it must be one of {', '.join(SUFFIXES)}")
    results.check_folder(path)
    if path.suffix.lower() == ".parquet":
        results.import_pyarrow()


def names_file(path: Path) -> Path:
    """Return the file beside a .npy file that has the names of its rows, as a JSON list."""
    return path.with_suffix(".names.json")


@contextlib.contextmanager
def open_writer(path: Path, count: int) -> Iterator[Writer]:
    """Give a writer; the file appears when the block ends without an error, and not before.

    A .npy file is an array [N, num_features] float32. The row of an image that cannot be read is NaN. The file that
    ``names_file`` returns has the names. A .parquet file has the columns file_name, error and features; the features of
    an image that cannot be read are null.

    Args:
        count: the number of rows.

    Raises:
        ConfigError, MachineError: see ``check``; or it cannot be written.
        DataError: no image can be read.
    """
    check(path)
    target = user_path(path).resolve()  # of a link, what it points to is replaced
    with atomic.temporary_beside(target) as temporary:
        is_numpy = target.suffix.lower() == ".npy"
        file: Union[_Numpy, _Parquet] = _Numpy(temporary, count) if is_numpy else _Parquet(temporary, count)
        with contextlib.closing(file):
            yield _NamedWriter(file, path)
            with results.file_errors(path):
                file.finish()
        with results.file_errors(path):
            atomic.move_into_place(temporary, target)
    if isinstance(file, _Numpy):
        atomic.write_text(names_file(target), json_text.dumps(file.names, indent=0) + "\n")


class _NamedWriter:
    """A writer whose errors name the file."""

    def __init__(self, writer: Writer, path: Path) -> None:
        self._writer, self._path = writer, path

    def add(self, name: str, features: Features) -> None:
        with results.file_errors(self._path):
            self._writer.add(name, features)


class _Numpy:
    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count
        self._rows: Optional[np.memmap] = None
        self.names: List[str] = []

    def add(self, name: str, features: Features) -> None:
        if isinstance(features, np.ndarray):
            if self._rows is None:
                shape = (self._count, len(features))
                self._rows = np.lib.format.open_memmap(self._path, mode="w+", dtype=np.float32, shape=shape)
                self._rows[: len(self.names)] = np.nan
            self._rows[len(self.names)] = features
        elif self._rows is not None:
            self._rows[len(self.names)] = np.nan
        self.names.append(name)

    def finish(self) -> None:
        if self._rows is None:
            raise _nothing_read(self._count)
        self._rows.flush()

    def close(self) -> None:
        self._rows = None


class _Parquet:
    def __init__(self, path: Path, count: int) -> None:
        self._arrow, self._parquet = results.import_pyarrow()
        self._path, self._count = path, count
        self._writer: Any = None
        self._schema: Any = None
        self._rows: List[Dict[str, Any]] = []

    def add(self, name: str, features: Features) -> None:
        is_readable = isinstance(features, np.ndarray)
        if self._writer is None and is_readable:
            text = self._arrow.string()
            # The length of all lists is known with the first one.
            vector = self._arrow.list_(self._arrow.float32(), len(features))  # type: ignore[arg-type]
            self._schema = self._arrow.schema([("file_name", text), ("error", text), ("features", vector)])
            self._writer = self._parquet.ParquetWriter(str(self._path), self._schema)
        error = None if is_readable else results.to_utf8(str(features))
        self._rows.append(
            {"file_name": results.to_utf8(name), "error": error, "features": features if is_readable else None}
        )
        if self._writer is not None and len(self._rows) >= _ROWS:
            self._flush()

    def finish(self) -> None:
        if self._writer is None:
            raise _nothing_read(self._count)
        self._flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def _nothing_read(count: int) -> DataError:
    return DataError(f"none of the {count} images can be read; nothing was written")
