"""Architectures: what is computed."""

from ppcls.arch.backbone import convmixer, convmlp, gmlp  # noqa: F401  (a family registers itself when imported)
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
