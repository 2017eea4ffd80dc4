"""Samplers, which choose the samples of each batch."""

from ppcls.data.samplers.batch_samplers import SAMPLERS, ClassBalancedSampler, DistributedBatchSampler, RASampler
from ppcls.data.samplers.multi_scale_sampler import MultiScaleSampler
from ppcls.data.samplers.shard_sampler import ShardBatchSampler

__all__ = [
    "SAMPLERS",
    "ClassBalancedSampler",
    "DistributedBatchSampler",
    "MultiScaleSampler",
    "RASampler",
    "ShardBatchSampler",
]
