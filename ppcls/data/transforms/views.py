"""Several views of one image for test-time augmentation, whose probabilities are averaged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Tuple

import numpy as np

from ppcls.data.transforms.arguments import check_hwc
from ppcls.data.transforms.compose import Compose
from ppcls.data.transforms.crops import CropImage
from ppcls.errors import ConfigError

_AFTER_GEOMETRY = ("NormalizeImage", "Normalize", "ToTensor", "ToCHWImage")


@dataclass(frozen=True)
class Mirrored:
    """The image, and its mirror image."""

    splits: int = 2

    def split(self, image: Any) -> Tuple[np.ndarray, ...]:
        """Return the two images [H, W, C]."""
        check_hwc(image)
        return image, np.ascontiguousarray(image[:, ::-1])


@dataclass(frozen=True)
class FiveCrops:
    """The centre of the image that a ``CropImage`` takes, then its four corners in the same size.

    Source: https://papers.nips.cc/paper/4824 (Krizhevsky et al. 2012), section 4.1, without the mirror images.
    """

    crop: CropImage
    splits: int = 5

    def split(self, image: Any) -> Tuple[np.ndarray, ...]:
        """Return the five images [height, width, C].

        Raises:
            DataError: the image is smaller than the crop.
        """
        centre = self.crop(image, np.random.default_rng(0))
        height, width = centre.shape[:2]
        return (
            centre,
            image[:height, :width],
            image[:height, -width:],
            image[-height:, :width],
            image[-height:, -width:],
        )


def with_views(transforms: Compose, kind: str) -> Compose:
    """Return transforms that make several views of an image, [views, ...], the one without augmentation first.

    Args:
        kind: "flip" or "crops".

    Raises:
        ConfigError: the transforms have no crop whose place could change, or split the image already.
    """
    if transforms.views > 1:
        raise ConfigError(f"tta: {kind}: transform_ops has splits already; leave one of them out")
    names, ops = list(transforms.names), list(transforms.ops)
    if kind == "flip":
        place = next((i for i, name in enumerate(names) if name in _AFTER_GEOMETRY), len(names))
        names.insert(place, kind)
        ops.insert(place, Mirrored())
    else:
        places = [i for i, op in enumerate(ops) if isinstance(op, CropImage)]
        if not places:
            raise ConfigError(
                f"tta: {kind}: takes the corners beside the centre that CropImage takes, and the transforms have no "
                f"CropImage ({', '.join(names)}); use flip"
            )
        ops[places[-1]] = FiveCrops(ops[places[-1]])
    return replace(transforms, names=tuple(names), ops=tuple(ops))
