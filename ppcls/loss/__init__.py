"""Losses: what training minimises."""

from ppcls.loss.ce import CELoss
from ppcls.loss.combined import CombinedLoss, build_loss
from ppcls.loss.registry import LOSSES

__all__ = ["LOSSES", "CELoss", "CombinedLoss", "build_loss"]
