"""Which architecture a file's weights belong to, from the names and sizes of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Optional

import numpy as np

from ppcls.arch import list_models, spec
from ppcls.weights.names import NAMINGS
from ppcls.weights.naming import Naming

# Parameters for Paddle, but no weights that training changes by gradients.
_STATISTICS = ("._mean", "._variance")


@dataclass(frozen=True)
class Detection:
    """The architecture that a file's tensors belong to.

    Attributes:
        family: whose naming knows the names of all tensors.
        variant: the family's variant of exactly this size; None if there is none.
        naming: whose names they are.
        class_num: classes of their classifier, 0 if there is none.
    """

    family: str
    variant: Optional[str]
    naming: Naming
    class_num: int

    def __str__(self) -> str:
        return f"{self.variant or f'another {self.family}'} ({self.naming.source} names)"


def detect_architecture(arrays: Mapping[str, np.ndarray]) -> Optional[Detection]:
    """Return the architecture that tensors belong to; None if no family knows all their names."""
    first = None
    for family, namings in NAMINGS.items():
        for naming in namings:
            if naming.coverage(list(arrays)) < 1.0:
                continue
            detected = _detect_variant(family.__name__, naming, arrays)
            if detected.variant is not None:
                return detected
            first = first or detected
    return first


def _detect_variant(family: str, naming: Naming, arrays: Mapping[str, np.ndarray]) -> Detection:
    sizes: Dict[str, int] = {}
    for name, array in arrays.items():
        ours = naming.rename(name)
        if ours is not None and not naming.drops(name) and not ours.endswith(_STATISTICS):
            sizes[ours] = array.size
    class_num = sizes.get("head.bias", 0)
    # A fine-tuned model differs from its variant in the head alone: compare without that.
    per_class = sum(sizes.get(name, 0) for name in ("head.weight", "head.bias")) // class_num if class_num else 0
    params = sum(sizes.values()) - per_class * class_num
    for variant in list_models():
        facts = spec(variant)
        if class_num and facts.family == family and facts.params - per_class * facts.class_num == params:
            return Detection(family, variant, naming, class_num)
    return Detection(family, None, naming, class_num)
