"""Architectures: what is computed."""

from ppcls.utils import environment

environment.import_paddle()  # also for those who import this package directly

# A family registers itself when it is imported.
from ppcls.arch.backbone import convmixer, convmlp, cyclemlp, gmlp  # noqa: F401
from ppcls.arch.backbone.base import Backbone, Depth, FeatureInfo, require_method
from ppcls.arch.feature_extractor import FeatureExtractor
from ppcls.arch.model_spec import ModelSpec
from ppcls.arch.registry import BACKBONES, list_models, spec
from ppcls.arch.supplied import SUPPLIED_MODEL, SuppliedModel

__all__ = [
    "BACKBONES",
    "SUPPLIED_MODEL",
    "Backbone",
    "Depth",
    "FeatureExtractor",
    "FeatureInfo",
    "ModelSpec",
    "SuppliedModel",
    "list_models",
    "require_method",
    "spec",
]
