"""Losses: what training minimises."""

from ppcls.loss.base import Loss
from ppcls.loss.ce import CELoss, SoftTargetCrossEntropy
from ppcls.loss.combined import CombinedLoss, build_loss
from ppcls.loss.one_vs_all import BCELoss, FocalLoss
from ppcls.loss.registry import LOSSES

__all__ = ["LOSSES", "BCELoss", "CELoss", "CombinedLoss", "FocalLoss", "Loss", "SoftTargetCrossEntropy", "build_loss"]
