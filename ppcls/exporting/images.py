"""The images that an export is compared on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

import numpy as np

from ppcls.config.schema import Config
from ppcls.data import build_dataset
from ppcls.data.transforms import TransformOp, build_transforms
from ppcls.data.transforms.tensor import NormalizeImage
from ppcls.errors import ConfigError, DataError, ExportError
from ppcls.inference.inputs import Source, collect
from ppcls.utils.logging import get_logger

_COUNT = 8


@dataclass(frozen=True)
class Sample:
    """Images to compare on.

    Attributes:
        sources: the images.
        tensors: the same images ready for the model, [B, C, H, W] float32.
    """

    sources: Sequence[Source]
    tensors: np.ndarray

    def pixels(self, ops: Sequence[TransformOp]) -> np.ndarray:
        """Return the images as they are before normalization, [B, H, W, C] uint8."""
        transforms = build_transforms(split_normalization(ops)[0])
        return np.stack([transforms(source.read(), np.random.default_rng(0)) for source in self.sources])


def split_normalization(ops: Sequence[TransformOp]) -> Tuple[List[TransformOp], NormalizeImage]:
    """Return the transforms up to pixels, and the normalization that follows.

    Raises:
        ExportError: the transforms do not end with normalization and the change of layout.
    """
    tail = {name: arguments for op in ops[-2:] for name, arguments in op.items()}
    if set(tail) != {"NormalizeImage", "ToCHWImage"}:
        raise ExportError(
            f"a self-contained model needs transforms that end with NormalizeImage and ToCHWImage, not with "
            f"{' and '.join(tail) or 'nothing'}"
        )
    normalization = NormalizeImage(**(tail["NormalizeImage"] or {}))
    if normalization.appends_zeros:
        raise ExportError("a self-contained model takes the channels of the pixels, and channel_num: 4 appends one")
    return list(ops[:-2]), normalization


def sample(config: Config, ops: Sequence[TransformOp]) -> Sample:
    """Return images of ``Infer.infer_imgs`` or of the evaluation set; without either, noise, with a warning.

    Raises:
        ConfigError: they have another size than the exported model will take.
        DataError: one cannot be read.
    """
    sources = _sources(config)
    if not sources:
        get_logger().warning(
            "no images found: the export is compared on noise; give images with -o Infer.infer_imgs=FOLDER"
        )
        rng = np.random.default_rng(0)
        height, width = config.Global.image_shape[1:]
        noise = rng.integers(0, 256, (_COUNT, height, width, 3), dtype=np.uint8)
        sources = [Source(f"noise {number}", image) for number, image in enumerate(noise)]
    return Sample(sources, preprocess(config, sources, ops))


def preprocess(
    config: Config,
    sources: Sequence[Source],
    ops: Sequence[TransformOp],
    advice: str = "compare on others: -o Infer.infer_imgs=...",
) -> np.ndarray:
    """Return the images ready for the model, [B, C, H, W] float32.

    Args:
        advice: what to do instead of repairing an image that cannot be read.

    Raises:
        ConfigError: they have another size than the exported model will take.
        DataError: one cannot be read.
    """
    transforms, rng = build_transforms(ops), np.random.default_rng(0)
    shape = tuple(config.Global.image_shape)
    images = []
    for source in sources:
        try:
            image = transforms(source.read(), rng)
        except DataError as error:
            raise DataError(f"{source.name}: {error}; repair or remove it, or {advice}") from None
        if image.shape != shape:
            raise ConfigError(
                f"{source.name}: the transforms make an image of {list(image.shape)}, but the exported model takes "
                f"Global.image_shape={list(shape)}; change one of them"
            )
        images.append(image)
    return np.stack(images)


def _sources(config: Config) -> List[Source]:
    """Return some images, none where there are none: an export must also work without the data."""
    for find in (_named_images, _evaluation_images):
        try:
            sources = find(config)
        except DataError as error:
            get_logger().warning("not compared on these images: %s", error)
            continue
        if sources:
            return sources
    return []


def _named_images(config: Config) -> List[Source]:
    return collect(config.Infer.infer_imgs)[:_COUNT] if config.Infer.infer_imgs else []


def _evaluation_images(config: Config) -> List[Source]:
    if config.DataLoader.Eval is None:
        return []
    return of_dataset(build_dataset(config.DataLoader.Eval.dataset.model_dump(), train=False), _COUNT)


def of_dataset(dataset: Any, count: int) -> List[Source]:
    """Return at most ``count`` samples of a data set, spread evenly over it."""
    return [Source(dataset.describe(index), dataset.read(index)) for index in spread(len(dataset), count)]


def spread(length: int, count: int) -> List[int]:
    """Return at most ``count`` indices, spread evenly over a sequence."""
    return [int(index) for index in np.linspace(0, length - 1, min(count, length))]
