"""The section ``AMP`` of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ppcls.config.fields import Section


class AMPSection(Section):
    """Automatic mixed precision; on when the section is there."""

    use_amp: Annotated[bool, Field(description="false: as if the section were not there.")] = True
    level: Annotated[
        Literal["O1", "O2"], Field(description="O1: operations that are safe in half precision; O2: the weights too.")
    ] = "O1"
    dtype: Annotated[
        Literal["auto", "float16", "bfloat16"],
        Field(description="auto: bfloat16 on CPUs, float16 elsewhere. CPUs compute float16 in float32."),
    ] = "auto"
    scale_loss: Annotated[float, Field(gt=0, description="For float16: factor of the loss.")] = 1.0
    use_dynamic_loss_scaling: Annotated[
        bool, Field(description="For float16: the factor follows the gradients, and updates that overflow are skipped.")
    ] = False
    use_promote: Annotated[bool, Field(description="Of O2: operations with any float32 input compute in float32.")] = (
        True
    )
    use_fp16_test: Annotated[
        bool, Field(description="Also evaluate in half precision during training, as O2 and CPUs always do.")
    ] = False
