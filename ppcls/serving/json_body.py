"""A reader for the only JSON that a request may have: ``{"images": [item, ...]}``.

``json.loads`` and pydantic build everything that a body describes before it can be checked: from 31 MB of empty objects
pydantic makes 1500 MB, and blocks the event loop for 4 seconds. Here only the strings of the allowed images are built.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Union

from ppcls.serving.errors import RequestError, too_many_images

_KEYS = ("data", "url", "name")
_MAX_STRING_BYTES = 16384  # of a name, URL or key
_BLANKS = re.compile(rb"[ \t\r\n]*")
# Escapes that some encoders use in base64 and its line ends.
_ESCAPES = [(rb"\/", b"/"), (rb"\n", b""), (rb"\r", b"")] + [
    (rb"\u00" + digits, bytes.fromhex(digits.decode())) for digits in (b"2b", b"2B", b"2f", b"2F", b"3d", b"3D")
]
_SHAPE = 'the JSON must be {"images": [...]} and nothing else; options such as topk go into the URL'


@dataclass(frozen=True)
class Item:
    """One of ``images``.

    Attributes:
        data: base64 as it was sent, None where there is a URL.
    """

    name: str
    url: str
    data: Optional[bytes]

    def decoded(self) -> bytes:
        """Return the bytes that ``data`` encodes.

        Raises:
            ValueError: it is not base64.
        """
        data = self.data or b""
        if data.startswith(b"data:"):
            data = data.partition(b",")[2]
        for escaped, plain in _ESCAPES:
            if b"\\" not in data:
                break
            data = data.replace(escaped, plain)
        return base64.b64decode(data, validate=True)


def parse(body: bytes, max_images: int) -> List[Item]:
    """Return the items of a body.

    Raises:
        RequestError: 400 not JSON, or of another shape; 422 too many images, repeated keys, or unusable strings.
    """
    reader = _Reader(body)
    if not reader.accept(b"{") or reader.at(b"}") or reader.text() != "images":
        raise RequestError(400, _SHAPE)
    reader.expect(b":")
    if not reader.accept(b"["):
        raise RequestError(400, _SHAPE)
    items: List[Item] = []
    more = not reader.accept(b"]")
    while more:
        if len(items) == max_images:
            raise too_many_images(max_images)
        items.append(_item(reader, f"images[{len(items)}]"))
        more = reader.more(b"]")
    if reader.accept(b","):
        twice = reader.text() == "images"
        raise RequestError(422, '"images" is given twice') if twice else RequestError(400, _SHAPE)
    reader.expect(b"}")
    reader.end()
    return items


def _item(reader: _Reader, where: str) -> Item:
    if reader.at(b'"'):
        return Item("", "", reader.raw())
    wrong = RequestError(400, f'{where}: must be base64, {{"name", "data": base64}} or {{"name", "url"}}')
    if not reader.accept(b"{"):
        raise reader.malformed("it ends too early") if reader.ended else wrong
    values: Dict[str, Union[str, bytes]] = {}
    more = not reader.accept(b"}")
    while more:
        key = reader.text()
        if key not in _KEYS:
            raise wrong
        if key in values:
            raise RequestError(422, f'{where}: "{key}" is given twice')
        reader.expect(b":")
        if not reader.at(b'"'):
            raise RequestError(400, f"{where}: its values must be strings")
        values[key] = reader.raw() if key == "data" else reader.text()
        more = reader.more(b"}")
    if ("data" in values) == ("url" in values):
        raise wrong
    return Item(str(values.get("name", "")), str(values.get("url", "")), values.get("data"))  # type: ignore[arg-type]


class _Reader:
    """A position in a JSON text."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0

    def at(self, mark: bytes) -> bool:
        """Skip blanks; return whether this mark is next."""
        self._position = _BLANKS.match(self._body, self._position).end()  # type: ignore[union-attr]
        return self._body.startswith(mark, self._position)

    def accept(self, mark: bytes) -> bool:
        """Pass a mark if it is next; return whether it was."""
        is_next = self.at(mark)
        self._position += len(mark) * is_next
        return is_next

    def expect(self, mark: bytes) -> None:
        """Pass a mark.

        Raises:
            RequestError: 400, it is not there.
        """
        if not self.accept(mark):
            raise self.malformed(f"{mark.decode()!r} is missing")

    def more(self, closing: bytes) -> bool:
        """Pass a comma or the closing bracket; return whether another value follows.

        Raises:
            RequestError: 400, neither is there.
        """
        if self.accept(closing):
            return False
        self.expect(b",")
        return True

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._position >= len(self._body)

    def end(self) -> None:
        """Check that nothing follows.

        Raises:
            RequestError: 400, something does.
        """
        self.at(b"")
        if not self.ended:
            raise self.malformed("something follows its end")

    def raw(self) -> bytes:
        """Return what stands between the next quotation marks, with escapes as they are.

        Raises:
            RequestError: 400, there is no string.
        """
        self.expect(b'"')
        begin = self._position
        end = self._body.find(b'"', begin)
        while end >= 0 and _is_escaped(self._body, begin, end):
            if end - begin > _MAX_STRING_BYTES:  # nor is it base64, which has no quotation marks
                raise RequestError(422, f"a text of more than {_MAX_STRING_BYTES} bytes at byte {begin}")
            end = self._body.find(b'"', end + 1)
        if end < 0:
            raise self.malformed("a string does not end")
        self._position = end + 1
        return self._body[begin:end]

    def text(self) -> str:
        """Return the next string.

        Raises:
            RequestError: 400, there is none, or it is malformed; 422, it is too long, or no valid Unicode.
        """
        raw = self.raw()
        if len(raw) > _MAX_STRING_BYTES:
            raise RequestError(422, f"a name or URL of {len(raw)} bytes; at most {_MAX_STRING_BYTES}")
        try:
            text = str(json.loads(b'"%s"' % raw))
        except ValueError as error:
            raise self.malformed(f"a string is malformed ({error})") from None
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RequestError(422, f"{json.dumps(text)[:200]}: half of a surrogate pair is no character") from None
        return text

    def malformed(self, problem: str) -> RequestError:
        """Return the error of a body that is not JSON at this position."""
        return RequestError(400, f"the body is not JSON: {problem} (at byte {self._position})")


def _is_escaped(body: bytes, begin: int, position: int) -> bool:
    """Return whether an odd number of backslashes stands before a position."""
    backslashes = 0
    while position - backslashes > begin and body[position - backslashes - 1] == 0x5C:
        backslashes += 1
        if backslashes > _MAX_STRING_BYTES:
            raise RequestError(422, f"more than {_MAX_STRING_BYTES} backslashes before byte {position}")
    return backslashes % 2 == 1
