"""From a data set to batches, in this process or with the help of others."""

from ppcls.data.loader.batch import Batch
from ppcls.data.loader.loader import DataLoader

__all__ = ["Batch", "DataLoader"]
