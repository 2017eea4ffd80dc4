"""Losses: what training minimises."""

from ppcls.loss.asymmetric import AsymmetricLossSingleLabel, MultiLabelAsymmetricLoss
from ppcls.loss.base import MULTI_LABEL, SINGLE_LABEL, Loss
from ppcls.loss.bce import BCELoss
from ppcls.loss.ce import CELoss, SoftTargetCrossEntropy
from ppcls.loss.combined import CombinedLoss, build_loss
from ppcls.loss.distillation import (
    STUDENT,
    DistillationCELoss,
    DistillationDMLLoss,
    DistillationGTCELoss,
    DistillationKLDivLoss,
    DistillationLoss,
    DistillationMultiLabelLoss,
    HardDistillationLoss,
)
from ppcls.loss.focal import FocalLoss
from ppcls.loss.jsd import JSDCrossEntropy, require_views
from ppcls.loss.logit_distillation import (
    DistillationDISTLoss,
    DistillationDKDLoss,
    DistillationSKDLoss,
    DistillationWSLLoss,
)
from ppcls.loss.multilabel import MultiLabelLoss
from ppcls.loss.registry import LOSSES
from ppcls.loss.views import MultiViewLoss

__all__ = [
    "LOSSES",
    "MULTI_LABEL",
    "SINGLE_LABEL",
    "STUDENT",
    "AsymmetricLossSingleLabel",
    "BCELoss",
    "CELoss",
    "CombinedLoss",
    "DistillationCELoss",
    "DistillationDISTLoss",
    "DistillationDKDLoss",
    "DistillationDMLLoss",
    "DistillationGTCELoss",
    "DistillationKLDivLoss",
    "DistillationLoss",
    "DistillationMultiLabelLoss",
    "DistillationSKDLoss",
    "DistillationWSLLoss",
    "FocalLoss",
    "HardDistillationLoss",
    "JSDCrossEntropy",
    "Loss",
    "MultiLabelAsymmetricLoss",
    "MultiLabelLoss",
    "MultiViewLoss",
    "SoftTargetCrossEntropy",
    "build_loss",
    "require_views",
]
