"""The recipe of an exported model, as far as an evaluation needs one."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from ppcls.config.schema import Config
from ppcls.engine.evaluation_data import with_evaluation_data
from ppcls.inference.description import Description


def recipe_of_export(described: Description, section: Mapping[str, Any], tta: Optional[str] = None) -> Config:
    """Return a recipe to evaluate an export by: its own preprocessing and post-processing, and the usual metrics.

    Args:
        section: ``DataLoader.Eval.dataset`` without its transforms.
        tta: ``Infer.tta``.
    """
    ((name, arguments),) = described.values["PostProcess"].items()
    is_multilabel = described.postprocess.is_multilabel
    values: Dict[str, Any] = {
        "Global": {"image_shape": list(described.image_shape), "use_multilabel": is_multilabel},
        "Arch": dict(described.values["Model"]["architecture"]),
        "Loss": {"Eval": [{"MultiLabelLoss" if is_multilabel else "CELoss": None}]},
        "Infer": {
            "transforms": described.transform_ops,
            "tta": tta or "none",
            "PostProcess": {"name": name, **{key: arguments[key] for key in arguments if key != "label_list"}},
        },
    }
    return with_evaluation_data(Config.model_validate(values), section)
