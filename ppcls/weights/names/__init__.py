"""How weight files name the tensors of each family, one module a family."""

from __future__ import annotations

from typing import Dict, Tuple

from paddle import nn

from ppcls.arch.backbone.convmixer import ConvMixer
from ppcls.arch.backbone.convmlp import ConvMLP
from ppcls.arch.backbone.cyclemlp import CycleMLP
from ppcls.arch.backbone.gmlp import gMLP
from ppcls.weights.names import convmixer, convmlp, cyclemlp, gmlp
from ppcls.weights.naming import Naming

# The family's own names come first.
NAMINGS: Dict[type, Tuple[Naming, ...]] = {
    ConvMLP: convmlp.NAMINGS,
    ConvMixer: convmixer.NAMINGS,
    CycleMLP: cyclemlp.NAMINGS,
    gMLP: gmlp.NAMINGS,
}
_OWN_NAMES = Naming("ppcls", rules=[(r".*", None)])


def namings_of(model: nn.Layer) -> Tuple[Naming, ...]:
    """Return how weight files name a model's tensors; any layer is known by its own names at least."""
    return next((NAMINGS[kind] for kind in type(model).__mro__ if kind in NAMINGS), (_OWN_NAMES,))
