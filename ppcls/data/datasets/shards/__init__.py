"""Data sets in tar shards with the layout of WebDataset, and the index files next to the shards."""

from ppcls.data.datasets.shards.dataset import ShardDataset

__all__ = ["ShardDataset"]
