"""The parts of the OpenAPI description that FastAPI cannot read from the code: bodies and errors."""

from __future__ import annotations

from typing import Any, Dict, Union

from ppcls.serving import schemas

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


def error(status: int, text: str = "") -> Dict[Union[int, str], Dict[str, Any]]:
    """Return FastAPI's description of an error."""
    model = schemas.ServerError if status == 500 else schemas.Error
    return {status: {"description": text or _STATUSES[status], "model": model}}


HEAT_MAP_ERRORS = {status: description for number in _STATUSES for status, description in error(number).items()}
PREDICT_ERRORS = {status: description for status, description in HEAT_MAP_ERRORS.items() if status != 404}
PREDICT_ERRORS[422] = {"description": _STATUSES[422], "model": Union[schemas.NoUsableImage, schemas.Error]}
PREDICT_EXAMPLE: Dict[str, Any] = {
    "content": {
        "application/json": {
            "example": {
                "results": [
                    {
                        "file_name": "photo.jpg",
                        "class_ids": [7, 1],
                        "scores": [0.98, 0.01],
                        "label_names": ["seven", "one"],
                    }
                ],
                "model": "ConvMixer",
                "milliseconds": {"decode": 1.2, "wait": 0.1, "model": 3.4, "receive": 0.3, "total": 5.6},
            }
        }
    }
}
