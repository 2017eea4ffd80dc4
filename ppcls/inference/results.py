"""Answers as a file: JSON, CSV or Parquet, written as they come and put in its place when it is whole."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, TextIO

from ppcls.errors import ConfigError, MachineError
from ppcls.utils import atomic
from ppcls.utils.extras import missing_extra
from ppcls.utils.paths import user_path

LIST, MAP = "list", "map"
SUFFIXES = (".json", ".csv", ".parquet")
_FORMULA = tuple("=+-@＝＋－＠\t\r\n")  # a cell that begins like this is computed
_ROWS = 4096  # of a Parquet file, in memory before they are written
Answer = Mapping[str, Any]


class Writer(Protocol):
    """Takes answers one by one."""

    def add(self, answer: Answer) -> None:
        """Write one answer."""

    def finish(self) -> None:
        """Write what is left, and what ends the file."""


def check(path: Optional[Path], form: str) -> None:
    """Check where results are to go, before any work.

    Args:
        path: the file; None for standard output.
        form: ``LIST``, or ``MAP`` for {path: class id} in JSON.

    Raises:
        ConfigError: its suffix is unknown, or not one of JSON where a map is wanted.
        MachineError: its folder does not exist or cannot be written in, or it needs a package that is not installed.
    """
    suffix = ".json" if path is None else path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"{path}: the suffix says the format, and must be one of {', '.join(SUFFIXES)}")
    if form == MAP and suffix != ".json":
        raise ConfigError(f"{path}: a map of paths to class ids is written as .json, not {suffix}")
    folder = Path() if path is None else user_path(path).parent
    if not folder.is_dir():
        raise MachineError(f"{path}: cannot be written: there is no folder {folder}; make it first")
    if path is not None and not os.access(folder, os.W_OK):
        raise MachineError(f"{path}: cannot be written: {folder} is read-only, or not yours to write in")
    if suffix == ".parquet":
        _pyarrow()


@contextlib.contextmanager
def writing(path: Path, form: str = LIST) -> Iterator[Writer]:
    """Give a writer; the file is in its place, in one step, when the block ends without an error, and not before.

    Raises:
        ConfigError, MachineError: see ``check``; or it cannot be written.
    """
    check(path, form)
    target = user_path(path).resolve()  # of a link, what it points to is replaced
    with atomic.temporary_beside(target) as temporary:
        opened = contextlib.ExitStack()
        try:
            with _file_errors(path):
                if target.is_dir():
                    raise MachineError(f"{path}: cannot be written: it is a folder")
                writer = _NamedWriter(opened.enter_context(_open(temporary, target.suffix.lower(), form)), path)
            yield writer
            writer.finish()
            with _file_errors(path):
                opened.close()
                atomic.move_into_place(temporary, target)
        finally:
            with contextlib.suppress(OSError):  # after an error, which is what the user has to know
                opened.close()


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system into such as the user understands."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not of a file
            raise
        raise MachineError(f"{path}: cannot be written: {error.strerror or error}") from None


class _NamedWriter:
    """A writer whose errors name the file; those of whoever uses it stay what they are."""

    def __init__(self, writer: Writer, path: Path) -> None:
        self._writer, self._path = writer, path

    def add(self, answer: Answer) -> None:
        with _file_errors(self._path):
            self._writer.add(answer)

    def finish(self) -> None:
        with _file_errors(self._path):
            self._writer.finish()


@contextlib.contextmanager
def _open(path: Path, suffix: str, form: str) -> Iterator[Writer]:
    if suffix == ".parquet":
        with contextlib.closing(_Parquet(path)) as writer:
            yield writer
        return
    # Spreadsheets take UTF-8 without this mark for the encoding of the country.
    encoding = "utf-8-sig" if suffix == ".csv" else "utf-8"
    # File names may be no text at all. In JSON the escape means just what such a name is in Python.
    with path.open("w", encoding=encoding, errors="backslashreplace", newline="") as file:
        yield _Csv(file) if suffix == ".csv" else json_writer(file, form)


def json_writer(file: TextIO, form: str = LIST) -> Writer:
    """Return a writer of JSON: a list of the answers, or a map of file names to the best class's id, a line each."""
    return _JsonMap(file) if form == MAP else _JsonList(file)


def map_entry(answer: Answer) -> Dict[str, Optional[int]]:
    """Return {file name: id of the best class}; null for an image that cannot be used."""
    return {answer["file_name"]: answer["class_ids"][0] if "class_ids" in answer else None}


class _JsonList:
    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._separator = "["

    def add(self, answer: Answer) -> None:
        self._file.write(self._separator + json.dumps(answer, ensure_ascii=False))
        self._separator = ",\n "

    def finish(self) -> None:
        self._file.write("[]\n" if self._separator == "[" else "]\n")


class _JsonMap:
    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._names: set[str] = set()

    def add(self, answer: Answer) -> None:
        if answer["file_name"] in self._names:  # named twice by the user, and answered alike
            return
        self._file.write(
            ("," if self._names else "{") + "\n " + json.dumps(map_entry(answer), ensure_ascii=False)[1:-1]
        )
        self._names.add(answer["file_name"])

    def finish(self) -> None:
        self._file.write(("\n" if self._names else "{") + "}\n")


def _flat(answer: Answer, place: int) -> List[Any]:
    """Return [class id, label, score] of the class at a place; None for what there is not."""
    return [(answer.get(key) or [None] * (place + 1))[place] for key in ("class_ids", "label_names", "scores")]


class _Csv:
    """A row an image: the best class in the columns class_id, label and score, the next ones in class_id_2, ..."""

    def __init__(self, file: TextIO) -> None:
        self._rows = csv.writer(file)
        self._classes: Optional[int] = None
        self._waiting: List[Answer] = []  # how many columns there are is known with the first image that has classes

    def add(self, answer: Answer) -> None:
        if self._classes is None:
            self._waiting.append(answer)
            if "class_ids" in answer:
                self._begin(len(answer["class_ids"]))
        else:
            self._write(answer)

    def finish(self) -> None:
        if self._classes is None:
            self._begin(1)

    def _begin(self, classes: int) -> None:
        self._classes = classes
        ends = ["", *(f"_{place + 1}" for place in range(1, classes))]
        self._rows.writerow(["file_name", "error", *(n + end for end in ends for n in ("class_id", "label", "score"))])
        for answer in self._waiting:
            self._write(answer)
        self._waiting = []

    def _write(self, answer: Answer) -> None:
        values = [value for place in range(self._classes or 0) for value in _flat(answer, place)]
        self._rows.writerow([_no_formula(value) for value in (answer["file_name"], answer.get("error"), *values)])


def _no_formula(value: Any) -> Any:
    """Return a cell that no spreadsheet computes: files and classes may be named by anybody."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class _Parquet:
    """A row an image: the best class in class_id, label and score, all in the lists class_ids, labels and scores."""

    def __init__(self, path: Path) -> None:
        arrow, parquet = _pyarrow()
        text, number, score = arrow.string(), arrow.int32(), arrow.float64()
        columns = {"file_name": text, "error": text, "class_id": number, "label": text, "score": score}
        lists = {"class_ids": arrow.list_(number), "labels": arrow.list_(text), "scores": arrow.list_(score)}
        self._schema = arrow.schema([*columns.items(), *lists.items()])
        self._table: Callable[..., Any] = arrow.Table.from_pylist
        self._writer = parquet.ParquetWriter(str(path), self._schema)
        self._rows: List[Dict[str, Any]] = []

    def add(self, answer: Answer) -> None:
        names = ("class_ids", "label_names", "scores")
        best = dict(zip(("class_id", "label", "score"), _flat(answer, 0)))
        lists = dict(zip(("class_ids", "labels", "scores"), (answer.get(name) for name in names)))
        row = {"file_name": _text(answer["file_name"]), "error": _text(answer.get("error")), **best, **lists}
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._flush()

    def finish(self) -> None:
        self._flush()

    def close(self) -> None:
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(self._table(self._rows, schema=self._schema))
        self._rows = []


def _text(value: Optional[str]) -> Optional[str]:
    """Return text that UTF-8 can hold: file names may be no text at all."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")


def _pyarrow() -> Any:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_extra("report", "pyarrow", ".parquet") from None
    return pyarrow, parquet
