"""The table of losses."""

import numpy as np

from ppcls.registry import Registry

LOSSES = Registry(
    "loss",
    trial_arguments=lambda: {"train_labels": np.zeros(1, np.int64)},
    injectable=("class_num", "train_labels", "label_ratio"),
)
