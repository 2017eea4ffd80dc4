"""The types of values in a recipe, and two kinds of sections."""

from __future__ import annotations

import re
from typing import Annotated, Any, Dict, List, Mapping, Optional

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _exact_int(value: Any) -> Any:
    """Return 100 for 1e2; the type check refuses anything with a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _original_text(value: Any) -> Any:
    """Return the text of a value that was read as arithmetic, such as the path 2024/11."""
    return getattr(value, "text", value)


Int = Annotated[int, BeforeValidator(_exact_int)]
Text = Annotated[str, BeforeValidator(_original_text)]
Positive = Annotated[Int, Field(ge=1)]
NotNegative = Annotated[Int, Field(ge=0)]
WeightsKey = Annotated[
    Optional[str],
    BeforeValidator(_original_text),
    Field(description="Which weights of a file that holds several, such as teacher or state_dict.model."),
]
WeightsImageSize = Annotated[
    Optional[List[Positive]],
    Field(
        min_length=2,
        max_length=2,
        description="[H, W] of the images that weights of others were made for; checkpoints of ppcls record it.",
    ),
]
# A list entry such as `RandFlipImage: {flip_code: 1}`; ppcls.config.components checks the inside.
Component = Dict[str, Optional[Dict[str, Any]]]


class Section(BaseModel):
    """A section that refuses unknown keys and cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ComponentSection(BaseModel):
    """A section whose remaining keys are the arguments of the component that ``name`` selects."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Return the component's arguments."""
        return dict(self.__pydantic_extra__ or {})


def folder_name(value: str) -> str:
    """Return the name of a folder; raise a ValueError for any other text."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError(
            "names a folder: letters, digits, '.', '_' and '-', the first a letter or digit; not " + repr(value)
        )
    return value


def model_name(value: str) -> str:
    """Return the name of a model in a recipe; raise a ValueError for any other text."""
    if not re.fullmatch(r"[A-Z][A-Za-z0-9_]*", value):
        raise ValueError(f"names a model: a capital letter, then letters, digits and '_'; not {value!r}")
    return value
