"""Registries of small real components, so that these tests need none of the packages above ``config``."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Union

import pytest

from ppcls.errors import ConfigError
from ppcls.registry import Registry


class Net:
    def __init__(self, class_num: int = 1000, depth: int = 2, rate: float = 0.0, act: str = "gelu"):
        self.depth = depth


@dataclass(frozen=True)
class CropImage:
    size: Union[int, Sequence[int]]
    scale: Optional[List[float]] = None
    prob: float = 1.0

    def __post_init__(self):
        if not 0 <= self.prob <= 1:
            raise ConfigError(f"prob must be between 0 and 1, not {self.prob}")


class Files:
    def __init__(self, image_root: str, cls_label_path: str = "", delimiter: Optional[str] = None, seed: int = 0):
        pass


class Batches:
    def __init__(self, batch_size: int, shuffle: bool = False, length: int = 0):
        pass


class AdamW:
    def __init__(self, weight_decay: float = 0.0, beta1: float = 0.9, parameters: Sequence = ()):
        pass


class SGD:
    def __init__(self, parameters: Sequence = ()):
        pass


class Cosine:
    def __init__(self, learning_rate: float, warmup_epoch: int = 0, epochs: int = 0):
        pass


class CELoss:
    def __init__(self, epsilon: Optional[float] = None, weight: float = 1.0):
        pass


class TopkAcc:
    def __init__(self, topk: Sequence[int] = (1, 5)):
        pass


class Topk:
    def __init__(self, topk: int = 5):
        pass


def registry(kind, *classes, injected=(), trial_arguments=None):
    made = Registry(kind, trial_arguments)
    for cls in classes:
        made.register(cls, injected=injected)
    return made


@pytest.fixture
def registries():
    return {
        "architecture": registry("architecture", Net),
        "transform": registry("transform", CropImage, trial_arguments=dict),
        "batch_transform": registry("batch transform"),
        "dataset": registry("dataset", Files, injected=["seed"]),
        "sampler": registry("sampler", Batches, injected=["length"]),
        "optimizer": registry("optimizer", AdamW, SGD, injected=["parameters"]),
        "schedule": registry("learning-rate schedule", Cosine, injected=["epochs"]),
        "loss": registry("loss", CELoss),
        "metric": registry("metric", TopkAcc),
        "postprocess": registry("post-processing", Topk),
        "callback": registry("callback"),
    }


RECIPE = """\
Global:
  epochs: 5
  output_dir: ./out
Arch:
  name: Net
  class_num: 10
  rate: 1e-1
Loss:
  Train:
    - CELoss: {epsilon: 0.1}
Optimizer:
  name: AdamW
  weight_decay: 1.0/20.0
  lr: {name: Cosine, learning_rate: 1e-3, warmup_epoch: 1}
DataLoader:
  Train:
    dataset:
      name: Files
      image_root: ./data
      transform_ops:
        - CropImage: {size: 32}
        - CropImage:
            size: [32, 32]
            prob: 0.5
    sampler: {name: Batches, batch_size: 8, shuffle: true}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path
