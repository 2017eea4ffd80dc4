"""The encoded images of a request's body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

from ppcls.serving import json_body, multipart
from ppcls.serving.errors import RequestError

MEDIA_TYPES = "multipart/form-data, application/json, image/* or application/octet-stream"
_MAX_NAME = 255  # characters of a file's name in the answer


@dataclass(frozen=True)
class Upload:
    """One image of a request: encoded, or where to fetch it.

    Attributes:
        name: repeated in the answer, and used for nothing else.
        data: the encoded image, unless there is a URL.
        error: why it cannot be used, if that is known already.
    """

    name: str
    data: bytes = b""
    url: Optional[str] = None
    error: Optional[str] = None


def media_type_of(content_type: str) -> str:
    """Return the type that a Content-Type names, without its parameters.

    Raises:
        RequestError: 400, a form without a boundary; 415, none of ``MEDIA_TYPES``.
    """
    kind = content_type.split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        multipart.boundary_of(content_type)
    elif not kind.startswith("image/") and kind not in ("application/json", "application/octet-stream"):
        raise RequestError(415, f"Content-Type {kind or '(none)'!r}: send {MEDIA_TYPES}")
    return kind


def parse(body: bytes, content_type: str, max_images: int) -> List[Upload]:
    """Return the images of a body.

    Raises:
        RequestError: 400 malformed; 415 of another type; 422 no images, too many, or unusable strings.
    """
    kind = media_type_of(content_type)
    if kind == "multipart/form-data":
        files = multipart.parse(body, multipart.boundary_of(content_type), max_images)
        uploads = [Upload(_short(name) or f"image {number}", data) for number, (name, data) in enumerate(files, 1)]
    elif kind == "application/json":
        uploads = [_from_item(item, number) for number, item in enumerate(json_body.parse(body, max_images), 1)]
    else:
        uploads = [Upload("image 1", body)] if body else []
    if not uploads:
        raise RequestError(422, "the request has no image")
    return uploads


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def _from_item(item: json_body.Item, number: int) -> Upload:
    if item.data is None:
        return Upload(_short(item.name or item.url), url=item.url)
    name = _short(item.name or f"image {number}")
    try:
        return Upload(name, item.decoded())
    except ValueError as error:
        return Upload(name, error=f"not base64: {error}")
