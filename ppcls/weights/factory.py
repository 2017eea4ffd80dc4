"""Architectures by name, with fresh, published or your own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional, Sequence, Union

from ppcls.arch.backbone.base import Backbone
from ppcls.arch.registry import BACKBONES, list_models, spec
from ppcls.errors import ConfigError, WeightsError
from ppcls.utils.paths import user_path
from ppcls.weights.download import is_url
from ppcls.weights.loading import load_weights
from ppcls.weights.published import public_weights, weights_at


def create_model(
    name: str,
    class_num: int = 1000,
    pretrained: Union[bool, str, Path, None] = None,
    drop_mismatched_head: bool = False,
    pretrained_image_size: Union[int, Sequence[int], None] = None,
    **arguments: Any,  # all go to the constructor, and the registry refuses what it does not take
) -> Backbone:
    """Build an architecture, with fresh, published or your own weights.

    Args:
        class_num: outputs of the classifier; 0 gives the pooled features instead.
        pretrained: path or URL of a weight file (see ``load_weights`` for what it may hold); True for the published
            weights, which are downloaded once into ``$PPCLS_HOME`` (``~/.cache/ppcls``).
        drop_mismatched_head: keep the fresh classifier if the weights' one has another number of classes.
        pretrained_image_size: see ``load_weights``'s ``image_size``; known for the published weights.
        arguments: of the family's constructor.

    Raises:
        ConfigError: unknown name or argument, or a value of the wrong type or that the constructor refuses.
        WeightsError: the weight file cannot be fetched or read, or does not fit.
    """
    model: Backbone = BACKBONES.build(name, {"class_num": class_num, **arguments})
    path = local_weights(name, pretrained)
    if path is not None:
        size = pretrained_image_size or trained_image_size(name, pretrained)
        load_weights(model, path, drop_mismatched_head=drop_mismatched_head, image_size=size)
    return model


def trained_image_size(name: str, pretrained: Union[bool, str, Path, None]) -> Optional[int]:
    """Return the image size that the weights of ``create_model``'s ``pretrained`` were made for, if it is known."""
    return spec(name).image_size if pretrained is True else None


def local_weights(name: str, pretrained: Union[bool, str, Path, None]) -> Optional[Path]:
    """Return the path of what ``create_model``'s ``pretrained`` means, downloaded if need be; None if it means none.

    Raises:
        ConfigError: it is neither a path nor a truth value.
        WeightsError: nothing is published for this variant, or it cannot be fetched.
    """
    if pretrained is True:
        if name not in list_models():
            raise WeightsError(f"{name}: no published weights are known; give pretrained a path instead of true")
        return public_weights(spec(name))
    if pretrained is None or pretrained is False:
        return None
    if not isinstance(pretrained, (str, Path)):
        raise ConfigError(f"pretrained: expected a path, got {pretrained!r}")
    if isinstance(pretrained, str) and is_url(pretrained):
        return weights_at(pretrained)
    return user_path(pretrained)
