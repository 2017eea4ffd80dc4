"""A recipe without data, and the data, models and data sets that Python code gives instead."""

import numpy as np
from paddle import nn
from sklearn.datasets import load_digits

SIZE = 16


def pictures(start, stop):
    """Return digits [16, 16, 3] uint8 and their class ids."""
    data = load_digits()
    images = (data.images[start:stop] * 15).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    return list(images[..., None].repeat(3, axis=3)), data.target[start:stop].tolist()


TRAIN = list(zip(*pictures(0, 96)))
EVAL = list(zip(*pictures(96, 136)))


class Named:
    """A data set with class names, whose labels are names."""

    class_names = [f"digit-{number}" for number in range(10)]  # noqa: RUF012

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        image, label = self.items[index]
        return image, self.class_names[label]


class Net(nn.Layer):
    """A model that is no backbone of ours."""

    def __init__(self, classes=10):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2D(3, 8, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(8, classes)

    def forward_features(self, images):
        return self.body(images)

    def forward(self, images):
        return self.head(self.forward_features(images).mean([2, 3]))


def bare_recipe(folder):
    """Return a recipe without data."""
    return {
        "Global": {
            "epochs": 2,
            "device": "cpu",
            "output_dir": str(folder / "run"),
            "image_shape": [3, SIZE, SIZE],
            "report": False,
        },
        "Arch": {"name": "ConvMixer", "dim": 16, "depth": 2, "kernel_size": 3, "patch_size": 4},
        "Optimizer": {"name": "AdamW", "lr": {"name": "Cosine", "learning_rate": 0.01}},
    }
