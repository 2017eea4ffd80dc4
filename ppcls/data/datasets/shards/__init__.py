"""Tar files of samples (the layout of WebDataset), and the indexes beside them."""

from ppcls.data.datasets.shards.dataset import ShardDataset

__all__ = ["ShardDataset"]
