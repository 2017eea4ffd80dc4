"""Write answers as JSON, CSV or Parquet: one by one, to a file that appears when it is complete."""

from __future__ import annotations

import contextlib
import csv
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, TextIO

from ppcls.errors import ConfigError, MachineError
from ppcls.utils import atomic, json_text
from ppcls.utils.extras import missing_extra
from ppcls.utils.paths import user_path

LIST, MAP = "list", "map"
SUFFIXES = (".json", ".csv", ".parquet")
_FORMULA = tuple("=+-@＝＋－＠\t\r\n")  # spreadsheets compute a cell that begins like this
_ROWS = 4096  # of a Parquet file, written together
Answer = Mapping[str, Any]


class Writer(Protocol):
    """Takes answers one by one."""

    def add(self, answer: Answer) -> None:
        """Write one answer."""

    def finish(self) -> None:
        """Write the end of the file."""


def check(path: Optional[Path], form: str) -> None:
    """Check the file for results, before any work.

    Args:
        path: the file; None for standard output.
        form: ``LIST``, or ``MAP`` for {path: class id} in JSON.

    Raises:
        ConfigError: its suffix is unknown, or not .json for a map.
        MachineError: its folder does not exist or cannot be written in, or a package is not installed.
    """
    suffix = ".json" if path is None else path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"{path}: the suffix gives the format; it must be one of {', '.join(SUFFIXES)}")
    if form == MAP and suffix != ".json":
        raise ConfigError(f"{path}: a map of paths to class ids is written as .json, not {suffix}")
    if path is not None:
        check_folder(path)
    if suffix == ".parquet":
        import_pyarrow()


def check_folder(path: Path) -> None:
    """Check that a file can be written in its folder.

    Raises:
        MachineError: the folder does not exist, or cannot be written in.
    """
    folder = user_path(path).parent
    if not folder.is_dir():
        raise MachineError(f"{path}: cannot be written: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise MachineError(
            f"{path}: cannot be written: {folder} is read-only, or you may not write there; choose another folder"
        )


@contextlib.contextmanager
def open_writer(path: Path, form: str = LIST, multilabel: bool = False, timed: bool = False) -> Iterator[Writer]:
    """Give a writer; the file appears when the block ends without an error, and not before.

    Args:
        multilabel: whether an image may have any number of classes.
        timed: whether there are frames of videos, whose time has a column of its own.

    Raises:
        ConfigError, MachineError: see ``check``; or it cannot be written.
    """
    check(path, form)
    target = user_path(path).resolve()  # of a link, what it points to is replaced
    with atomic.temporary_beside(target) as temporary:
        stack = contextlib.ExitStack()
        try:
            with file_errors(path):
                if target.is_dir():
                    raise MachineError(f"{path}: cannot be written: it is a folder")
                opened = _open(temporary, target.suffix.lower(), form, multilabel, timed)
                writer = _NamedWriter(stack.enter_context(opened), path)
            yield writer
            writer.finish()
            with file_errors(path):
                stack.close()
                atomic.move_into_place(temporary, target)
        finally:
            with contextlib.suppress(OSError):  # the first error is what the user has to know
                stack.close()


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Translate errors of the file system to MachineError."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not of a file
            raise
        raise MachineError(f"{path}: cannot be written: {error.strerror or error}") from None


class _NamedWriter:
    """A writer whose errors name the file."""

    def __init__(self, writer: Writer, path: Path) -> None:
        self._writer, self._path = writer, path

    def add(self, answer: Answer) -> None:
        with file_errors(self._path):
            self._writer.add(answer)

    def finish(self) -> None:
        with file_errors(self._path):
            self._writer.finish()


@contextlib.contextmanager
def _open(path: Path, suffix: str, form: str, multilabel: bool, timed: bool) -> Iterator[Writer]:
    if suffix == ".parquet":
        with contextlib.closing(_Parquet(path, timed)) as writer:
            yield writer
        return
    # Without a byte-order mark, spreadsheets take UTF-8 for a local encoding.
    encoding = "utf-8-sig" if suffix == ".csv" else "utf-8"
    # File names may be no valid text. In JSON the escapes mean what such a name is in Python.
    with path.open("w", encoding=encoding, errors="backslashreplace", newline="") as file:
        if suffix == ".csv":
            yield _MultiLabelCsv(file, timed) if multilabel else _Csv(file, timed)
        else:
            yield json_writer(file, form, multilabel)


def json_writer(file: TextIO, form: str = LIST, multilabel: bool = False) -> Writer:
    """Return a writer of JSON: a list of answers, or a map of file names to class ids; one line per image."""
    return _JsonMap(file, multilabel) if form == MAP else _JsonList(file)


def map_entry(answer: Answer, multilabel: bool = False) -> Dict[str, Any]:
    """Return {file name: id of the best class}, or all its ids; null for an image that cannot be used."""
    ids = answer.get("class_ids")
    return {answer["file_name"]: ids if multilabel or ids is None else ids[0]}


class _JsonList:
    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._separator = "["

    def add(self, answer: Answer) -> None:
        self._file.write(self._separator + json_text.dumps(answer, ensure_ascii=False))
        self._separator = ",\n "

    def finish(self) -> None:
        self._file.write("[]\n" if self._separator == "[" else "]\n")


class _JsonMap:
    def __init__(self, file: TextIO, multilabel: bool) -> None:
        self._file = file
        self._multilabel = multilabel
        self._names: set[str] = set()

    def add(self, answer: Answer) -> None:
        if answer["file_name"] in self._names:  # named twice by the user; the answers are equal
            return
        self._file.write(
            ("," if self._names else "{")
            + "\n "
            + json_text.dumps(map_entry(answer, self._multilabel), ensure_ascii=False)[1:-1]
        )
        self._names.add(answer["file_name"])

    def finish(self) -> None:
        self._file.write(("\n" if self._names else "{") + "}\n")


def _flat(answer: Answer, rank: int) -> List[Any]:
    """Return [class id, label, score] of the class at a rank, from 0; None for what is missing."""
    return [(answer.get(key) or [None] * (rank + 1))[rank] for key in ("class_ids", "label_names", "scores")]


class _Csv:
    """One row per image: the best class in the columns class_id, label and score, the next ones in class_id_2, ..."""

    def __init__(self, file: TextIO, timed: bool) -> None:
        self._rows = csv.writer(file)
        self._keys = _first_keys(timed)
        self._classes: Optional[int] = None
        self._buffered: List[Answer] = []  # until the first image with classes tells the number of columns

    def add(self, answer: Answer) -> None:
        if self._classes is None:
            self._buffered.append(answer)
            if "class_ids" in answer:
                self._begin(len(answer["class_ids"]))
        else:
            self._write(answer)

    def finish(self) -> None:
        if self._classes is None:
            self._begin(1)

    def _begin(self, classes: int) -> None:
        self._classes = classes
        ends = ["", *(f"_{rank + 1}" for rank in range(1, classes))]
        self._rows.writerow([*self._keys, *(n + end for end in ends for n in ("class_id", "label", "score"))])
        for answer in self._buffered:
            self._write(answer)
        self._buffered = []

    def _write(self, answer: Answer) -> None:
        values = [value for rank in range(self._classes or 0) for value in _flat(answer, rank)]
        self._rows.writerow([_no_formula(value) for value in (*map(answer.get, self._keys), *values)])


class _MultiLabelCsv:
    """One row per image: its class ids, labels and scores, each separated by semicolons."""

    def __init__(self, file: TextIO, timed: bool) -> None:
        self._rows = csv.writer(file)
        self._keys = _first_keys(timed)
        self._rows.writerow([*self._keys, "class_ids", "labels", "scores"])

    def add(self, answer: Answer) -> None:
        lists = (";".join(map(str, answer.get(key) or [])) for key in ("class_ids", "label_names", "scores"))
        self._rows.writerow([_no_formula(value) for value in (*map(answer.get, self._keys), *lists)])

    def finish(self) -> None:
        pass


def _first_keys(timed: bool) -> List[str]:
    """Return the first columns of a table of answers, which are keys of an answer."""
    return ["file_name", *(["time"] if timed else []), "error"]


def _no_formula(value: Any) -> Any:
    """Return a cell that spreadsheets do not compute: names of files and classes may come from anybody."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class _Parquet:
    """One row per image: the best class in class_id, label and score; all in the lists class_ids, labels and scores."""

    def __init__(self, path: Path, timed: bool) -> None:
        arrow, parquet = import_pyarrow()
        text, number, score = arrow.string(), arrow.int32(), arrow.float64()
        self._time_keys = ["time"] if timed else []
        times = dict.fromkeys(self._time_keys, score)
        columns = {"file_name": text, **times, "error": text, "class_id": number, "label": text, "score": score}
        lists = {"class_ids": arrow.list_(number), "labels": arrow.list_(text), "scores": arrow.list_(score)}
        self._schema = arrow.schema([*columns.items(), *lists.items()])
        self._table: Callable[..., Any] = arrow.Table.from_pylist
        self._writer = parquet.ParquetWriter(str(path), self._schema)
        self._rows: List[Dict[str, Any]] = []

    def add(self, answer: Answer) -> None:
        names = ("class_ids", "label_names", "scores")
        best = dict(zip(("class_id", "label", "score"), _flat(answer, 0)))
        lists = dict(zip(("class_ids", "labels", "scores"), (answer.get(name) for name in names)))
        times = {key: answer.get(key) for key in self._time_keys}
        row = {"file_name": to_utf8(answer["file_name"]), **times, "error": to_utf8(answer.get("error"))}
        row.update({**best, **lists})
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


def to_utf8(value: Optional[str]) -> Optional[str]:
    """Return text that UTF-8 can hold: file names may be no valid text."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")


def import_pyarrow() -> Any:
    """Return the modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        MachineError: they are not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_extra("report", "pyarrow", ".parquet") from None
    return pyarrow, parquet
