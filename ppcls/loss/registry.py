"""The table of losses."""

import numpy as np

from ppcls.registry import Registry

LOSSES = Registry(
    "loss",
    trial_arguments=lambda: {"train_labels": np.zeros(1, np.int64)},
    unavailable_names=("MultiLabelLoss",),
    injectable=("class_num", "train_labels"),
)
