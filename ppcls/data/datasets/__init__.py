"""The data sets that a recipe may name."""

from ppcls.data.datasets.base import DATASETS, Dataset, check_labels
from ppcls.data.datasets.cifar import Cifar10, Cifar100
from ppcls.data.datasets.classes import Classes, align_classes, count_classes
from ppcls.data.datasets.folder import ImageFolder
from ppcls.data.datasets.image_list import ImageNetDataset
from ppcls.data.datasets.items import SUPPLIED_DATASET, ItemDataset, SuppliedDataset
from ppcls.data.datasets.multilabel import MultiLabelDataset
from ppcls.data.datasets.shards import ShardDataset

__all__ = [
    "DATASETS",
    "SUPPLIED_DATASET",
    "Cifar10",
    "Cifar100",
    "Classes",
    "Dataset",
    "ImageFolder",
    "ImageNetDataset",
    "ItemDataset",
    "MultiLabelDataset",
    "ShardDataset",
    "SuppliedDataset",
    "align_classes",
    "check_labels",
    "count_classes",
]
