"""From the probabilities of an image to its answer."""

from ppcls.inference.postprocess.attributes import PersonAttribute, TableAttribute, VehicleAttribute
from ppcls.inference.postprocess.base import POSTPROCESSES, SIGMOID, SOFTMAX, PostProcess, probabilities, softmax
from ppcls.inference.postprocess.classes import MultiLabelThreshOutput, ThreshOutput, Topk

__all__ = [
    "POSTPROCESSES",
    "SIGMOID",
    "SOFTMAX",
    "MultiLabelThreshOutput",
    "PersonAttribute",
    "PostProcess",
    "TableAttribute",
    "ThreshOutput",
    "Topk",
    "VehicleAttribute",
    "probabilities",
    "softmax",
]
