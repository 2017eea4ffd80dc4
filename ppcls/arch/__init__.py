"""Architectures: what is computed."""

from ppcls.utils import environment

environment.import_paddle()  # also for those who import this package directly

# A family registers itself when it is imported.
from ppcls.arch.backbone import convmixer, convmlp, cyclemlp, gmlp  # noqa: F401
from ppcls.arch.registry import BACKBONES, create_model, list_models, spec
from ppcls.arch.spec import ModelSpec
from ppcls.arch.weights import LoadReport, load_weights, read_weights, restricted_load

__all__ = [
    "BACKBONES",
    "LoadReport",
    "ModelSpec",
    "create_model",
    "list_models",
    "load_weights",
    "read_weights",
    "restricted_load",
    "spec",
]
