"""Architectures by name, with fresh, published or your own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Union

from paddle import nn

from ppcls.arch import BACKBONES, FeatureExtractor, list_models, spec
from ppcls.errors import ConfigError, WeightsError
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path
from ppcls.weights.class_count import class_num_in_file
from ppcls.weights.download import is_url
from ppcls.weights.loading import load_weights
from ppcls.weights.published import download_weights, public_weights
from ppcls.weights.wording import OF_CREATE_MODEL, reworded

_CLASS_NUM = 1000  # of an architecture that nothing is known of


def create_model(
    name: str,
    class_num: Optional[int] = None,
    pretrained: Union[bool, str, Path, None] = None,
    drop_mismatched_head: bool = False,
    pretrained_image_size: Union[int, Sequence[int], None] = None,
    features_only: bool = False,
    weights_key: Optional[str] = None,
    **arguments: Any,  # all go to the constructor, and the registry refuses what it does not take
) -> nn.Layer:
    """Build an architecture, with fresh, published or your own weights.

    Args:
        name: of a variant, a family, or any ``paddle.nn.Layer`` that was registered.
        class_num: outputs of the classifier; 0 gives the pooled features instead. None: those of the weights, which
            the log shows, else 1000.
        pretrained: path or URL of a weight file (see ``load_weights`` for what it may hold); True for the published
            weights, which are downloaded once into ``$PPCLS_HOME`` (``~/.cache/ppcls``).
        drop_mismatched_head: keep the fresh classifier if that of the weights has another number of classes.
        pretrained_image_size: ``image_size`` of ``load_weights``; known for the published weights.
        weights_key: ``key`` of ``load_weights``, for files that hold several copies of the weights.
        features_only: return a ``FeatureExtractor``, whose output is the list of feature maps [B, C, H', W'] that its
            ``feature_info`` describes. It has no classifier, and that of ``pretrained`` is left out.
        arguments: of the family's constructor.

    Returns:
        The layer that is registered as ``name``: a ``Backbone`` for the architectures of this package.

    Raises:
        ConfigError: unknown name or argument, a value of the wrong type or that the constructor refuses, or an
            architecture without feature maps.
        WeightsError: the weight file cannot be fetched or read, or does not fit.
    """
    _check_recompute(name, arguments)
    _check_weight_arguments(pretrained, weights_key=weights_key, pretrained_image_size=pretrained_image_size)
    if class_num is None:
        with reworded(OF_CREATE_MODEL):
            class_num = _class_num(name, pretrained, weights_key)
    model: nn.Layer = BACKBONES.build(name, {"class_num": class_num, **arguments})
    if name in list_models():
        model.spec = spec(name)
    extractor = FeatureExtractor(model) if features_only else None  # refuses before anything is downloaded
    path = local_weights(name, pretrained, weights_key)
    if path is not None:
        size = pretrained_image_size or trained_image_size(name, pretrained)
        drop_head = drop_mismatched_head or features_only
        with reworded(OF_CREATE_MODEL):
            load_weights(model, path, key=weights_key, drop_mismatched_head=drop_head, image_size=size)
    if extractor is None:
        return model
    if hasattr(model, "reset_classifier"):
        model.reset_classifier(0)
    return extractor


def _class_num(name: str, pretrained: Union[bool, str, Path, None], key: Optional[str]) -> int:
    """Return the number of classes of weights, else that of the published ones, else 1000."""
    default = spec(name).class_num if name in list_models() else _CLASS_NUM
    if name not in BACKBONES or pretrained in (None, False, True):
        return default  # an unknown name is refused when the model is built
    path = local_weights(name, pretrained, key)
    found = class_num_in_file(path, name, key) if path is not None else None
    where = f"as in {pretrained}" if found is not None else f"{pretrained} has no classifier, so it is the default"
    count = default if found is None else found
    get_logger().info("class_num is not given: %d (%s)", count, where)
    return count


def _check_weight_arguments(pretrained: Union[bool, str, Path, None], **given: Any) -> None:
    """Refuse arguments that are about weights where there are none."""
    for name, value in given.items():
        if value is not None and pretrained in (None, False):
            raise ConfigError(f"{name}: describes weights, and none are named; give pretrained, or leave it out")


def _check_recompute(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse ``recompute`` for an architecture that does not take it."""
    if arguments.get("recompute") and not BACKBONES[name].takes("recompute"):
        raise ConfigError(
            f"recompute: {name} does not take it; derive the class from ppcls.arch.Backbone, which has gradient "
            "checkpointing (Backbone.run), and take recompute in the constructor"
        )


def trained_image_size(name: str, pretrained: Union[bool, str, Path, None]) -> Optional[int]:
    """Return the image size of the weights that ``pretrained`` of ``create_model`` means.

    It is None if it is not known, or if they fit images of any size.
    """
    sized = pretrained is True and BACKBONES[name].takes("image_size")
    return spec(name).image_size if sized else None


def local_weights(
    name: str, pretrained: Union[bool, str, Path, None], weights_key: Optional[str] = None
) -> Optional[Path]:
    """Return the path of the weights that ``pretrained`` of ``create_model`` means, downloaded if need be.

    Args:
        weights_key: of the weights to take from the file, which is kept as it is then.

    Returns:
        The path; None if ``pretrained`` is None or False.

    Raises:
        ConfigError: it is neither a path nor a truth value.
        WeightsError: nothing is published for this variant, or it cannot be fetched.
    """
    if pretrained is True:
        if name not in list_models():
            raise WeightsError(f"{name}: no published weights are known; give pretrained a path instead of true")
        return public_weights(spec(name), key=weights_key)
    if pretrained is None or pretrained is False:
        return None
    if not isinstance(pretrained, (str, Path)):
        raise ConfigError(f"pretrained: must be a path, not {pretrained!r}")
    if isinstance(pretrained, str) and is_url(pretrained):
        return download_weights(pretrained, key=weights_key)
    return user_path(pretrained)
