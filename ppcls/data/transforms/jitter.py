"""Random changes of colour, and random rotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Dict, Sequence, Tuple, Union

import numpy as np

from ppcls.data.transforms import pixels, warp
from ppcls.data.transforms.arguments import check_affine_interpolation, check_backend, check_hwc, fill_color
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import AffineSampler
from ppcls.errors import ConfigError
from ppcls.registry.checks import require_number, require_probability

Range = Union[float, Sequence[float]]


@TRANSFORMS.register
@dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast, saturation and hue in random order, like torchvision's ColorJitter.

    Args:
        brightness: b draws the factor from [max(0, 1 - b), 1 + b]; [low, high] draws it from this range.
        contrast: the same for contrast.
        saturation: the same for saturation.
        hue: h shifts the hue by a fraction of the colour circle from [-h, h]; or [low, high]. At most 0.5.
        prob: probability that an image is changed.
        backend: "cv2" or "pil"; only the hue differs, by rounding.

    Raises:
        ConfigError: an argument is invalid.
    """

    needs_rgb: ClassVar[bool] = True

    brightness: Range = 0.0
    contrast: Range = 0.0
    saturation: Range = 0.0
    hue: Range = 0.0
    prob: float = 1.0
    backend: str = "cv2"

    def __post_init__(self) -> None:
        self._ranges()
        require_probability("prob", self.prob)
        check_backend(self.backend)

    def _ranges(self) -> Dict[str, Tuple[float, float]]:
        """Return the ranges of the factors, without those that change nothing."""
        ranges = {
            "brightness": _range("brightness", self.brightness, 1.0, 0.0, float("inf")),
            "contrast": _range("contrast", self.contrast, 1.0, 0.0, float("inf")),
            "saturation": _range("saturation", self.saturation, 1.0, 0.0, float("inf")),
            "hue": _range("hue", self.hue, 0.0, -0.5, 0.5),
        }
        neutral = {"hue": 0.0, "brightness": 1.0, "contrast": 1.0, "saturation": 1.0}
        return {name: limits for name, limits in ranges.items() if limits != (neutral[name], neutral[name])}

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        check_hwc(image)
        if self.prob < 1 and rng.random() >= self.prob:
            return image
        changes: Dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
            "brightness": pixels.brightness,
            "contrast": pixels.contrast,
            "saturation": pixels.color,
            "hue": lambda image, shift: warp.shift_hue(image, shift, self.backend),
        }
        ranges = list(self._ranges().items())
        for index in rng.permutation(len(ranges)):
            name, (low, high) = ranges[index]
            image = changes[name](image, float(rng.uniform(low, high)))
        return image


def _range(name: str, value: Range, centre: float, lowest: float, highest: float) -> Tuple[float, float]:
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ConfigError(f"{name}: must be a number or [low, high], not {value!r}")
        low, high = (require_number(name, item) for item in value)
    else:
        spread = require_number(name, value)
        if spread < 0:
            raise ConfigError(f"{name}: must be at least 0, not {value!r}")
        low, high = centre - spread, centre + spread
        low = max(low, 0.0) if centre else low
    if not lowest <= low <= high <= highest:
        raise ConfigError(f"{name}: must stay within {lowest:g} and {highest:g}, low before high, not {value!r}")
    return low, high


@TRANSFORMS.register
@dataclass(frozen=True)
class RandomGrayscale:
    """Convert the image to grayscale, with three equal channels, with a given probability.

    Args:
        p: probability of a conversion.

    Raises:
        ConfigError: it is not between 0 and 1.
    """

    needs_rgb: ClassVar[bool] = True

    p: float = 0.1

    def __post_init__(self) -> None:
        require_probability("p", self.p)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] uint8, in grayscale or not."""
        check_hwc(image)
        return np.repeat(pixels.grayscale(image)[:, :, None], 3, axis=2) if rng.random() < self.p else image


@TRANSFORMS.register
@dataclass(frozen=True)
class RandomRotation:
    """Rotate the image about its centre. The size does not change.

    Args:
        prob: probability of a rotation.
        degrees: [smallest, largest] angle, counterclockwise; one number a means [-a, a].
        interpolation: nearest, bilinear, bicubic or random.
        fill: colour outside of the image.
        backend: "cv2" or "pil"; they differ only in the interpolation.

    Raises:
        ConfigError: an argument is invalid.
    """

    prob: float = 0.5
    degrees: Union[float, Sequence[float]] = (0, 360)
    interpolation: str = "nearest"
    fill: Union[int, Sequence[int]] = 0
    backend: str = "cv2"

    def __post_init__(self) -> None:
        require_probability("prob", self.prob)
        _range("degrees", self.degrees, 0.0, float("-inf"), float("inf"))
        check_affine_interpolation(self.interpolation)
        fill_color(self.fill)
        check_backend(self.backend)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] uint8, rotated or not."""
        check_hwc(image)
        if rng.random() >= self.prob:
            return image
        low, high = _range("degrees", self.degrees, 0.0, float("-inf"), float("inf"))
        sampler = AffineSampler(self.interpolation, fill_color(self.fill), self.backend)
        return sampler.rotate(image, float(rng.uniform(low, high)), rng)
