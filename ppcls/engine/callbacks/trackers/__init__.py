"""Experiment trackers: callbacks that a recipe names, which show the curves of runs beside each other."""

from ppcls.engine.callbacks.trackers.base import Tracker
from ppcls.engine.callbacks.trackers.mlflow import MLflow
from ppcls.engine.callbacks.trackers.tensorboard import TensorBoard
from ppcls.engine.callbacks.trackers.visualdl import VisualDL
from ppcls.engine.callbacks.trackers.wandb import WandB

__all__ = ["MLflow", "TensorBoard", "Tracker", "VisualDL", "WandB"]
