"""What happens around the training loop: the protocol of callbacks, and those that every run has."""

from ppcls.engine.callbacks import trackers
from ppcls.engine.callbacks.base import Callback
from ppcls.engine.callbacks.registry import CALLBACKS

__all__ = ["CALLBACKS", "Callback", "trackers"]
