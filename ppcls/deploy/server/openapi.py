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
            "additionalProperties": False,
        },
    ]
}
_BINARY = {"type": "string", "format": "binary"}
_FILES = {
    "type": "object",
    "description": "one file or many; their fields may have any names",
    "properties": {"file": {"type": "array", "items": _BINARY}},
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
        "label_name": {"type": "string", "nullable": True},
        "score": {"type": "number"},
        "heat": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}},
            "description": "by how much the score falls when this cell of the picture is covered, row by row",
        },
        "image": {"type": "string", "nullable": True, "description": "what the model sees, as a data URL (PNG)"},
        "model": {"type": "string"},
        "milliseconds": _NUMBERS,
    },
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "id": {"type": "string", "description": "with 500: see the log"}},
}
_STATUSES = {
    400: "the body is malformed",
    401: "the API key is missing or wrong",
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
                    "properties": {"images": {"type": "array", "items": _ITEM}},
                    "additionalProperties": False,
                }
            },
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
        },
    }
}


def _answers(schema: Dict[str, Any]) -> Dict[Any, Any]:
    errors = {
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in _STATUSES.items()
    }
    return {200: {"description": "answered", "content": {"application/json": {"schema": schema}}}, **errors}


PREDICT = _answers(_PREDICTION)
EXPLAIN = _answers(_HEAT_MAP)
