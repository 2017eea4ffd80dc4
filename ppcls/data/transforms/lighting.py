"""Random changes of the lighting along the principal components of natural images' colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ppcls.data.transforms.arguments import check_hwc
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.errors import DataError
from ppcls.registry.checks import require_non_negative

# Of the covariance of ImageNet's pixels (RGB, from 0 to 1), as fb.resnet.torch computed them.
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array(  # one per column
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


@TRANSFORMS.register
@dataclass(frozen=True)
class PCALighting:
    """Add a random multiple of each principal component of the colours (AlexNet, NeurIPS 2012, section 4.1).

    The addend of an image is sum_i alpha_i lambda_i p_i, with alpha_i normally distributed. Pixels count from 0 to 1
    here. (PaddleClas adds the same number to pixels from 0 to 255, so that nearly nothing changes.)

    Args:
        alpha_std: standard deviation of the multiples.

    Raises:
        ConfigError: it is negative.
    """

    needs_rgb: ClassVar[bool] = True

    alpha_std: float = 0.1

    def __post_init__(self) -> None:
        require_non_negative("alpha_std", self.alpha_std)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] uint8."""
        check_hwc(image)
        if image.dtype != np.uint8:
            raise DataError(f"takes uint8 pixels, got {image.dtype}; put it before NormalizeImage")
        addend = EIGENVECTORS @ (rng.normal(0, self.alpha_std, 3) * EIGENVALUES)
        return np.clip(np.rint(image + 255 * addend), 0, 255).astype(np.uint8)
