"""The data loader: batches of a data set, made in this process or by worker processes."""

from ppcls.data.loader.batch import Batch
from ppcls.data.loader.loader import DataLoader

__all__ = ["Batch", "DataLoader"]
