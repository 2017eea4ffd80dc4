"""The files of a multipart/form-data body, in memory: nothing is written to disk, and no name is used as a path."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ppcls.serving.errors import RequestError, too_many_images


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type names.

    Raises:
        RequestError: 400, it names none.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise RequestError(400, "Content-Type: multipart/form-data without a boundary")
    return boundary


def parse(body: bytes, boundary: bytes, max_files: int) -> List[Tuple[str, bytes]]:
    """Return the name and content of each file.

    Raises:
        RequestError: 400 where the body is malformed or has fields that are no files, 422 for too many files.
    """
    parts = _Parts(max_files)
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RequestError(400, f"the multipart body is malformed: {error}") from None
    if not parts.ended:
        raise RequestError(400, "the multipart body is cut off: its closing boundary is missing")
    return parts.files


class _Parts:
    """What the parser has found so far."""

    def __init__(self, max_files: int) -> None:
        self.files: List[Tuple[str, bytes]] = []
        self.ended = False
        self._max_files = max_files
        self._header = [b"", b""]
        self._name: Optional[str] = None
        self._content = bytearray()

    def callbacks(self) -> Dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._name, self._content, self._header = None, bytearray(), [b"", b""]

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        if b"filename" not in options:
            field = options.get(b"name", b"").decode("utf-8", "replace")
            raise RequestError(400, f"form field {field[:80]!r} is not a file; options such as topk go into the URL")
        self._name = options[b"filename"].decode("utf-8", "replace")

    def _headers_end(self) -> None:
        if self._name is None:
            raise RequestError(400, "the multipart body is malformed: a part has no Content-Disposition")
        if len(self.files) == self._max_files:
            raise too_many_images(self._max_files)

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _end(self) -> None:
        self.files.append((self._name or "", bytes(self._content)))
        self._content = bytearray()

    def _finish(self) -> None:
        self.ended = True
