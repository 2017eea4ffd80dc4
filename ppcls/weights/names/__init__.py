"""How weight files name the tensors of each family; one module per family."""

from __future__ import annotations

from typing import Dict, Tuple

from paddle import nn

from ppcls.arch.backbone.convmixer import ConvMixer
from ppcls.arch.backbone.convmlp import ConvMLP
from ppcls.arch.backbone.cyclemlp import CycleMLP
from ppcls.arch.backbone.gmlp import gMLP
from ppcls.weights.name_scheme import NameScheme
from ppcls.weights.names import convmixer, convmlp, cyclemlp, gmlp

# The family's own names come first.
NAME_SCHEMES: Dict[type, Tuple[NameScheme, ...]] = {
    ConvMLP: convmlp.NAME_SCHEMES,
    ConvMixer: convmixer.NAME_SCHEMES,
    CycleMLP: cyclemlp.NAME_SCHEMES,
    gMLP: gmlp.NAME_SCHEMES,
}
_PPCLS_NAMES = NameScheme("ppcls", rules=[(r".*", None)])


def name_schemes_of(model: nn.Layer) -> Tuple[NameScheme, ...]:
    """Return the name schemes of a model's weight files; for a layer of no family, its own names alone."""
    return name_schemes_of_class(type(model))


def name_schemes_of_class(kind: type) -> Tuple[NameScheme, ...]:
    """Return the name schemes of the weight files of a class of models; see ``name_schemes_of``."""
    return next((NAME_SCHEMES[base] for base in kind.__mro__ if base in NAME_SCHEMES), (_PPCLS_NAMES,))
