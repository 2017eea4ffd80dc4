"""Which architecture a file's weights belong to, from the names and sizes of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Optional

import numpy as np

from ppcls.arch import list_models, spec
from ppcls.arch.layers import is_batch_norm_statistic
from ppcls.weights.name_scheme import NameScheme
from ppcls.weights.names import NAME_SCHEMES


@dataclass(frozen=True)
class Detection:
    """The architecture that a file's tensors belong to.

    Attributes:
        family: name of the family, one of whose name schemes covers all tensors.
        variant: the family's variant of exactly this size; None if there is none.
        naming: that name scheme.
        class_num: classes of the classifier, 0 if there is none.
    """

    family: str
    variant: Optional[str]
    naming: NameScheme
    class_num: int

    def __str__(self) -> str:
        return f"{self.variant or f'another {self.family}'} ({self.naming.source} names)"


def detect_architecture(arrays: Mapping[str, np.ndarray]) -> Optional[Detection]:
    """Return the architecture that tensors belong to; None if no family has all of their names."""
    first_family = None
    for family, namings in NAME_SCHEMES.items():
        for naming in namings:
            if naming.coverage(list(arrays)) < 1.0:
                continue
            detected = _detect_variant(family.__name__, naming, arrays)
            if detected.variant is not None:
                return detected
            first_family = first_family or detected
    return first_family


def _detect_variant(family: str, naming: NameScheme, arrays: Mapping[str, np.ndarray]) -> Detection:
    sizes: Dict[str, int] = {}
    for name, array in arrays.items():
        model_name = naming.rename(name)
        if model_name is not None and not naming.drops(name) and not is_batch_norm_statistic(model_name):
            sizes[model_name] = array.size
    class_num = sizes.get("head.bias", 0)
    # A fine-tuned model differs from its variant in the head alone: compare without that.
    per_class = sum(sizes.get(name, 0) for name in ("head.weight", "head.bias")) // class_num if class_num else 0
    params = sum(sizes.values()) - per_class * class_num
    for variant in list_models():
        model_spec = spec(variant)
        backbone_params = model_spec.params - per_class * model_spec.class_num
        if class_num and model_spec.family == family and backbone_params == params:
            return Detection(family, variant, naming, class_num)
    return Detection(family, None, naming, class_num)
