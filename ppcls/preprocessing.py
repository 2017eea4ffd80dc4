"""The preprocessing of a variant, by its spec."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import List, Optional, Tuple, Union

import numpy as np
from paddle import nn

from ppcls.arch import FeatureExtractor, ModelSpec, spec
from ppcls.data.transforms import Compose, TransformOp, build_transforms
from ppcls.errors import ConfigError
from ppcls.inference.inputs import Image, expand_one


@dataclass(frozen=True)
class ImageTransform:
    """Preprocesses an image for a model.

    Attributes:
        transform_ops: the transforms and their arguments, as recipes list them.
    """

    transform_ops: Tuple[TransformOp, ...]
    _compose: Compose = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compose", build_transforms(self.transform_ops))

    def __call__(self, image: Image, rng: Optional[np.random.Generator] = None) -> np.ndarray:
        """Return the image as the model takes it, [C, H, W] float32.

        Args:
            image: what ``Predictor.predict`` takes as one image: a path, a URL, encoded bytes, a file opened in binary
                mode, an array (RGB [H, W, 3], RGBA or grayscale, uint8), or a Pillow image.
            rng: the generator of random transforms; None draws anew at each call.

        Raises:
            DataError: the image cannot be read, or there are several.
        """
        pixels = expand_one(image, "image").read()
        return self._compose(pixels, np.random.default_rng() if rng is None else rng)


def create_transform(source: Union[str, ModelSpec, nn.Layer], train: bool = False) -> ImageTransform:
    """Return the preprocessing of a variant.

    For evaluation: decode, resize the short side to ``image_size / crop_pct``, crop the centre, normalize.
    For training: decode, random resized crop, random flip, normalize. Recipes augment further.

    Args:
        source: a variant's name, its spec, or a model from ``create_model``. A model that was built for another
            ``image_size`` gets images of that size.
        train: whether the images are for training.

    Raises:
        ConfigError: there is no such variant, or the model has no spec.
    """
    model_spec, size = _spec_of(source)
    return ImageTransform(tuple(transform_ops(model_spec, size, train)))


def transform_ops(
    model_spec: ModelSpec, size: Optional[Tuple[int, int]] = None, train: bool = False
) -> List[TransformOp]:
    """Return the transforms and their arguments, as recipes list them.

    Args:
        size: height and width of the result in pixels; None takes those of the spec.
        train: whether the images are for training.
    """
    height, width = size or (model_spec.image_size, model_spec.image_size)
    target = width if width == height else [width, height]  # transforms take [width, height]
    resampling = {"interpolation": model_spec.interpolation, "backend": "pil"}
    if train:
        crop: TransformOp = {"RandCropImage": {"size": target, **resampling}}
        pixels = [crop, {"RandFlipImage": {"flip_code": 1}}]
    else:
        resize_short = math.floor(max(height, width) / model_spec.crop_pct)  # rounded down as in timm
        pixels = [{"ResizeImage": {"resize_short": resize_short, **resampling}}, {"CropImage": {"size": target}}]
    normalize = {"scale": 1 / 255, "mean": list(model_spec.mean), "std": list(model_spec.std), "order": ""}
    return [{"DecodeImage": None}, *pixels, {"NormalizeImage": normalize}, {"ToCHWImage": None}]


def _spec_of(source: Union[str, ModelSpec, nn.Layer]) -> Tuple[ModelSpec, Optional[Tuple[int, int]]]:
    """Return the spec, and the height and width that a model was built for if it depends on them."""
    if isinstance(source, str):
        return spec(source), None
    if isinstance(source, ModelSpec):
        return source, None
    if not isinstance(source, nn.Layer):
        raise ConfigError(f"expected a variant's name, its spec or a model, got {type(source).__name__}")
    model = source.backbone if isinstance(source, FeatureExtractor) else source
    model_spec = getattr(model, "spec", None)
    if not isinstance(model_spec, ModelSpec):
        raise ConfigError(
            f"{type(model).__name__}: no spec is known of this model; give the name of a variant, such as the one that "
            "its weights come from, or a ppcls.arch.ModelSpec"
        )
    return model_spec, getattr(model, "image_size", None)
