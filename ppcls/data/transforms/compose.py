"""A recipe's ``transform_ops`` as one callable."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping, Sequence, Tuple

import numpy as np

from ppcls.data.transforms.conversion import CHANNELS, to_channels
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.transform_op import TransformOp
from ppcls.errors import ConfigError, DataError
from ppcls.registry import Source
from ppcls.registry.sources import describe_failure
from ppcls.utils.opencv import cv2

_NORMALIZATION = ("NormalizeImage", "Normalize", "ToTensor")


@dataclass(frozen=True)
class Compose:
    """Transforms, one after the other.

    Args:
        names: of the transforms, for error messages.
        ops: the transforms.
    """

    names: Tuple[str, ...]
    ops: Tuple[Any, ...]  # callables of (image, rng)

    def __call__(self, image: Any, rng: np.random.Generator) -> Any:
        """Return the transformed image, contiguous in memory.

        Where a transform has ``splits``, the result has all images made of this one: [views, ...], the clean one first.
        The transforms after it are applied to each of them.

        Args:
            image: an encoded file's bytes, or an image [H, W, C] uint8: grayscale, RGB or RGBA.
            rng: where random transforms draw from.

        Raises:
            DataError: the image cannot be used; the message begins with the transform's name.
            ConfigError: a transform of the user's own failed, or returned no image.
        """
        image = self._with_channels(image)
        for name, op in zip(self.names, self.ops):
            try:
                image = _apply(op, image, rng)
            except (ConfigError, DataError) as error:
                raise type(error)(f"{name}: {error}") from error.__cause__
            except cv2.error as error:
                raise DataError(f"{name}: OpenCV: {error.err or error} (got {_describe(image)})") from None
        if isinstance(image, tuple):
            return np.stack(image)
        return np.ascontiguousarray(image) if isinstance(image, np.ndarray) else image

    def _with_channels(self, image: Any) -> Any:
        """Return an image that is decoded already with the channels that DecodeImage or NormalizeImage takes."""
        is_image = isinstance(image, np.ndarray) and image.ndim == 3 and image.dtype == np.uint8
        if is_image and image.shape[2] in CHANNELS:
            return to_channels(image, next((op.channels for op in self.ops if hasattr(op, "channels")), 3))
        return image

    def picture(self) -> Compose:
        """Return the transforms before the normalization: they make the picture that the model sees."""
        count = next((i for i, name in enumerate(self.names) if name in _NORMALIZATION), len(self.names))
        return replace(self, names=self.names[:count], ops=self.ops[:count])

    @property
    def views(self) -> int:
        """Return the number of images made of each one: more than 1 with ``splits`` of AugMix.

        Raises:
            ConfigError: two transforms split the image.
        """
        splitting = [(name, op.splits) for name, op in zip(self.names, self.ops) if getattr(op, "splits", 1) > 1]
        if len(splitting) > 1:
            names = " and ".join(name for name, _ in splitting)
            raise ConfigError(f"transform_ops: {names} have splits; give them to one transform only")
        return splitting[0][1] if splitting else 1

    @property
    def stages(self) -> int:
        """Return the number of stages of progressive training that the transforms have; 0 without any.

        Raises:
            ConfigError: they have different numbers of stages.
        """
        counts = {name: op.stages for name, op in zip(self.names, self.ops) if getattr(op, "stages", 0)}
        if len(set(counts.values())) > 1:
            text = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise ConfigError(f"transform_ops: the stages of progressive training differ in number: {text}")
        return max(counts.values(), default=0)

    def at_stage(self, stage: int) -> Compose:
        """Return the transforms of a stage of progressive training, counted from 0."""
        return replace(self, ops=tuple(op.at_stage(stage) if getattr(op, "stages", 0) else op for op in self.ops))

    def resized(self, size: Tuple[int, int]) -> Compose:
        """Return the transforms for images of another size (width, height).

        Raises:
            ConfigError: the transforms do not make images of a fixed size.
        """
        sized = [(name, op) for name, op in zip(self.names, self.ops) if hasattr(op, "output_size")]
        if not sized or not hasattr(sized[-1][1], "resized"):
            last = f", and not {sized[-1][0]}" if sized else ""
            raise ConfigError(
                f"transform_ops: images of several sizes need RandCropImage, or ResizeImage with size, to set the "
                f"size{last}"
            )
        ops = []
        for name, op in zip(self.names, self.ops):
            try:
                ops.append(op.resized(size) if hasattr(op, "resized") else op)
            except ConfigError as error:
                raise ConfigError(f"transform_ops: {name}.{error}") from None
        return replace(self, ops=tuple(ops))

    def batch(self, images: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return many images of one size transformed, bit for bit as one by one.

        Not for transforms with ``splits``. A transform may offer ``batch(images, rngs)``; for others the images are
        taken one after the other.

        Args:
            images: [B, H, W, C] uint8: grayscale, RGB or RGBA.
            rngs: where each image's random transforms draw from.

        Raises:
            DataError: some image cannot be used, or they come to differ in size; taken one by one they tell which.
        """
        if self._with_channels(images[0]) is not images[0]:
            images = np.stack([self._with_channels(image) for image in images])
        for op in self.ops:
            if hasattr(op, "batch"):
                images = op.batch(images, rngs)
                continue
            made = [_apply(op, image, rng) for image, rng in zip(images, rngs)]
            if len({image.shape for image in made}) != 1:
                raise DataError("the images differ in size")
            images = np.stack(made)
        return images


def _apply(op: Callable[[Any, np.random.Generator], Any], image: Any, rng: np.random.Generator) -> Any:
    """Return the image after one transform; a tuple of images after one that splits it."""
    if isinstance(image, tuple):
        return tuple(op(view, rng) for view in image)
    splits = getattr(op, "splits", 1)
    if hasattr(op, "split"):  # test-time augmentation
        return op.split(image)
    if splits > 1:
        return (image, *(op(image, rng) for _ in range(splits - 1)))
    result = op(image, rng)
    # OpenCV drops the axis of a single channel.
    is_gray = isinstance(result, np.ndarray) and result.ndim == 2 and getattr(image, "ndim", 0) == 3
    return result[:, :, None] if is_gray and image.shape[2] == 1 else result


class UserTransform:
    """A transform of the user's own: a callable of (image, rng), or of the image alone.

    Args:
        function: the callable.
        source: where it comes from, for messages.

    Raises:
        ConfigError: it takes something else.
    """

    def __init__(self, function: Callable[..., Any], source: Source) -> None:
        self._function = function
        self._source = source
        parameters = inspect.signature(function).parameters.values()
        positional = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
        several = any(item.kind is item.VAR_POSITIONAL for item in parameters)
        needed = sum(item.default is item.empty for item in positional)
        if needed > 2 or not (positional or several):
            raise ConfigError(f"of {source}: a transform is called with (image, rng) or (image), and this one is not")
        self._takes_rng = several or len(positional) >= 2

    def __call__(self, image: Any, rng: np.random.Generator) -> Any:
        """Return the transformed image.

        Raises:
            DataError: the image cannot be used.
            ConfigError: the transform failed, or returned no image.
        """
        try:
            result = self._function(image, rng) if self._takes_rng else self._function(image)
        except (DataError, cv2.error):
            raise
        except Exception as error:
            text = describe_failure(error, self._source)
            raise ConfigError(f"{text} (got {_describe(image)})") from error
        if not isinstance(result, (np.ndarray, bytes)):
            raise ConfigError(f"of {self._source}: returned {_describe(result)}, not an array")
        return result


def build_transforms(ops: Sequence[TransformOp]) -> Compose:
    """Build the transforms that a recipe lists.

    Args:
        ops: single-key maps of a name to its arguments: ``[{"DecodeImage": {"to_rgb": True}}, {"ToCHWImage": None}]``.

    Raises:
        ConfigError: an entry is something else, or a transform refuses its arguments; the message gives its place.
    """
    names, built = [], []
    for index, op in enumerate(ops):
        if not isinstance(op, Mapping) or len(op) != 1:
            raise ConfigError(f"transform_ops[{index}]: must be one `name: arguments` map, not {op!r}")
        name, arguments = next(iter(op.items()))
        if arguments is not None and not isinstance(arguments, Mapping):
            raise ConfigError(f"transform_ops[{index}].{name}: takes a mapping of arguments, not {arguments!r}")
        try:
            op = TRANSFORMS.build(name, arguments)
            source = TRANSFORMS[name].source
            built.append(op if source is None else UserTransform(op, source))
        except ConfigError as error:
            raise ConfigError(f"transform_ops[{index}].{error}") from None
        names.append(name)
    return Compose(tuple(names), tuple(built))


def _describe(image: Any) -> str:
    if isinstance(image, np.ndarray):
        return f"{image.dtype} array of shape {list(image.shape)}"
    return type(image).__name__
