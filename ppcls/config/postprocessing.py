"""Whether the post-processing of a recipe fits its model, as far as the recipe says."""

from __future__ import annotations

from typing import List

from ppcls.config.components import Checked
from ppcls.config.problems import Problem
from ppcls.config.schema import Config
from ppcls.config.tree import Path
from ppcls.errors import ConfigError

_SECTION: Path = ("Infer", "PostProcess")


def check(config: Config, checked: Checked) -> List[Problem]:
    """Check the number of classes, in a recipe without other mistakes."""
    component = checked.components.get(_SECTION)
    check_class_num = getattr(component, "check_class_num", None)  # other people's may have none
    if component is None or check_class_num is None or "class_num" not in config.Arch.model_fields_set:
        return []
    if component.is_multilabel != config.Global.use_multilabel:
        return []  # that is the mistake, and said where answers are made
    try:
        check_class_num(config.Arch.class_num)
    except ConfigError as error:
        key, separator, rest = str(error).partition(": ")
        if separator and key in config.Infer.PostProcess.arguments:
            return [Problem((*_SECTION, key), rest)]
        return [Problem(_SECTION, f"{config.postprocess_name}: {error}")]
    return []
