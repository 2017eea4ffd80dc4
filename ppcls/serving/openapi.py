"""What the OpenAPI description says that FastAPI cannot read from the code: bodies and answers."""

from __future__ import annotations

from typing import Any, Dict

_BASE64 = {"type": "string", "format": "byte"}
_ITEM = {
    "oneOf": [
        _BASE64,
        {
            "type": "object",
            "description": "`data` (base64) or, where the server allows it, `url`",
            "properties": {"name": {"type": "string"}, "data": _BASE64, "url": {"type": "string", "format": "uri"}},
            "oneOf": [{"required": ["data"]}, {"required": ["url"]}],
            "additionalProperties": False,
        },
    ]
}
_BINARY = {"type": "string", "format": "binary"}
_FILES = {
    "type": "object",
    "description": "one file or many; their fields may have any names",
    "properties": {"file": {"type": "array", "items": _BINARY, "minItems": 1}},
    "minProperties": 1,
}
_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
_RESULT = {
    "type": "object",
    "description": "best class first; for an image that cannot be used only `file_name` and `error`",
    "required": ["file_name"],
    "properties": {
        "file_name": {"type": "string"},
        "class_ids": {"type": "array", "items": {"type": "integer"}},
        "scores": {"type": "array", "items": {"type": "number"}},
        "label_names": {"type": "array", "items": {"type": "string"}},
        "error": {"type": "string"},
    },
}
_PREDICTION = {
    "type": "object",
    "properties": {
        "results": {"type": "array", "items": _RESULT},
        "model": {"type": "string"},
        "milliseconds": _NUMBERS,
    },
}
_HEAT_MAP = {
    "type": "object",
    "properties": {
        "file_name": {"type": "string"},
        "class_id": {"type": "integer"},
        "label_name": {"type": ["string", "null"]},
        "score": {"type": "number"},
        "heat": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}},
            "description": "by how much the score falls when this cell of the picture is covered, row by row",
        },
        "image": {"type": ["string", "null"], "description": "what the model sees, as a data URL (PNG)"},
        "model": {"type": "string"},
        "milliseconds": _NUMBERS,
    },
}
_MODEL = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("model", "backend", "device")},
        "image_shape": {"type": "array", "items": {"type": "integer"}, "description": "channels, height, width"},
        "class_names": {"type": "array", "items": {"type": "string"}},
        **{name: {"type": "integer"} for name in ("class_num", "topk", "max_images", "max_body", "max_pixels")},
        **{name: {"type": "boolean"} for name in ("urls", "saliency")},
    },
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string"},
        "id": {"type": "string", "description": "with 500: see the log"},
        "results": {"type": "array", "items": _RESULT, "description": "of /predict with 422: each image's error"},
    },
}
_STATUSES = {
    400: "the body is malformed",
    401: "the API key is missing or wrong",
    404: "heat maps are switched off on this server",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is of another type",
    422: "no image can be used, or an option is unknown or out of its bounds",
    429: "the server is full: try again after Retry-After",
    500: "the model failed",
    503: "no answer in time, or the server is shutting down",
}

BODY: Dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FILES},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {"images": {"type": "array", "items": _ITEM, "minItems": 1}},
                    "additionalProperties": False,
                }
            },
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
        },
    }
}


def error(status: int, text: str = "") -> Dict[Any, Any]:
    """Return the description of an answer that is no result."""
    return {status: {"description": text or _STATUSES[status], "content": {"application/json": {"schema": _ERROR}}}}


def _answers(schema: Dict[str, Any], *statuses: int) -> Dict[Any, Any]:
    answers: Dict[Any, Any] = {200: {"description": "answered", "content": {"application/json": {"schema": schema}}}}
    for status in statuses:
        answers.update(error(status))
    return answers


PREDICT = _answers(_PREDICTION, *(status for status in _STATUSES if status != 404))
EXPLAIN = _answers(_HEAT_MAP, *_STATUSES)
MODEL = _answers(_MODEL, 401)
