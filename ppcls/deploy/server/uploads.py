"""From a request's body to encoded images."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, List, Optional

from ppcls.deploy.server import multipart
from ppcls.deploy.server.refusal import RefusedError, too_many_images

FORMS = "multipart/form-data, application/json, image/* or application/octet-stream"
_NAME = 255  # characters of a file's name that are repeated in the answer
_KEYS = {"data", "url", "name"}


@dataclass(frozen=True)
class Upload:
    """One image of a request: encoded, or where to fetch it.

    Attributes:
        name: repeated in the answer, and used for nothing else.
        data: the encoded image, unless there is a URL.
        error: why it cannot be used, where that is known.
    """

    name: str
    data: bytes = b""
    url: Optional[str] = None
    error: Optional[str] = None


def parse(body: bytes, content_type: str, max_images: int) -> List[Upload]:
    """Return the images of a body.

    Raises:
        RefusedError: 400 malformed, 415 of another type, 422 no images or too many.
    """
    kind = content_type.split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = multipart.parse(body, multipart.boundary_of(content_type), max_images)
        uploads = [Upload(_short(name) or f"image {number}", data) for number, (name, data) in enumerate(found, 1)]
    elif kind == "application/json":
        uploads = _from_json(body, max_images)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        uploads = [Upload("image 1", body)] if body else []
    else:
        raise RefusedError(415, f"Content-Type {kind or '(none)'!r}: send {FORMS}")
    if not uploads:
        raise RefusedError(422, "the request has no image")
    return uploads


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _from_json(body: bytes, max_images: int) -> List[Upload]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    if not isinstance(values, dict) or set(values) != {"images"} or not isinstance(values["images"], list):
        raise RefusedError(
            400, 'the JSON must be {"images": [...]} and nothing else; options such as topk go into the URL'
        )
    if len(values["images"]) > max_images:
        raise too_many_images(max_images)
    return [_from_item(item, number) for number, item in enumerate(values["images"], 1)]


def _from_item(item: Any, number: int) -> Upload:
    """Return the image that an item of ``images`` means: base64, or {"name", "data"} or {"name", "url"}."""
    item = {"data": item} if isinstance(item, str) else item
    if not isinstance(item, dict) or not set(item) <= _KEYS or ("data" in item) == ("url" in item):
        raise RefusedError(
            400, f'images[{number - 1}]: must be base64, {{"name", "data": base64}} or {{"name", "url"}}'
        )
    if not all(isinstance(value, str) for value in item.values()):
        raise RefusedError(400, f"images[{number - 1}]: its values must be strings")
    if "url" in item:
        return Upload(_short(item.get("name") or item["url"]), url=item["url"])
    name = _short(item.get("name") or f"image {number}")
    text = item["data"]
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return Upload(name, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        return Upload(name, error=f"not base64: {error}")
