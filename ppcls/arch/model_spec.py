"""What is known about a published variant of an architecture, apart from the code that computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ppcls.utils import imagenet

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class ModelSpec:
    """Facts about one variant.

    Attributes:
        name: what recipes call it, for example ``ConvMixer_768_32``.
        family: name of the class that implements it.
        params: number of trainable parameters with ``class_num`` classes and 3 input channels.
        macs: multiply-adds of all convolutions and projections for one image of ``image_size``.
        top1: claimed ImageNet-1k accuracy in percent; None if the authors publish none.
        image_size: height and width of the input that the variant was trained for, in pixels.
        crop_pct: share of the resized image's side that evaluation crops.
        mean: per channel, of images scaled to 0..1.
        std: per channel, of images scaled to 0..1.
        interpolation: how evaluation resizes.
        url: the authors' weight file.
        sha256: of that file, or the start of it; None if nobody published it.
        paper: URL.
        licence: of the weight file, as the authors state it.
        class_num: the number of classes that ``params``, ``macs`` and the weight file have.
    """

    name: str
    family: str
    params: int
    macs: int
    top1: Optional[float]
    image_size: int
    crop_pct: float
    paper: str
    mean: Tuple[float, float, float] = imagenet.MEAN
    std: Tuple[float, float, float] = imagenet.STD
    interpolation: str = "bicubic"
    url: Optional[str] = None
    sha256: Optional[str] = None
    licence: Optional[str] = None
    class_num: int = 1000
