"""What the sections of a recipe are made of: values as recipes write them, and two kinds of sections."""

from __future__ import annotations

from typing import Annotated, Any, Dict, Mapping, Optional

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _exact_int(value: Any) -> Any:
    """Take 1e2 as 100; anything with a fraction is left for the type check to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _original_text(value: Any) -> Any:
    """Take back a path such as 2024/11 that was read as arithmetic."""
    return getattr(value, "text", value)


Int = Annotated[int, BeforeValidator(_exact_int)]
Text = Annotated[str, BeforeValidator(_original_text)]
Positive = Annotated[Int, Field(ge=1)]
NotNegative = Annotated[Int, Field(ge=0)]
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
