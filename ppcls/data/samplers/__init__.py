"""Which samples make a batch."""

from ppcls.data.samplers.batches import SAMPLERS, ClassBalancedSampler, DistributedBatchSampler, RASampler
from ppcls.data.samplers.shards import ShardBatchSampler

__all__ = ["SAMPLERS", "ClassBalancedSampler", "DistributedBatchSampler", "RASampler", "ShardBatchSampler"]
