"""Which architectures exist, and how one is built by name."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

from ppcls.arch.backbone.base import Backbone
from ppcls.arch.spec import ModelSpec
from ppcls.arch.weights import load_weights
from ppcls.arch.weights.download import is_url
from ppcls.arch.weights.public import public_weights, weights_at
from ppcls.config.components import wrong_types
from ppcls.config.registry import Registry, suggest
from ppcls.errors import ConfigError, WeightsError
from ppcls.utils.paths import user_path

BACKBONES = Registry("architecture")

_SPECS: Dict[str, ModelSpec] = {}


def register_family(family: Type[Backbone], variants: Sequence[Tuple[ModelSpec, Mapping[str, Any]]]) -> None:
    """Register a family under its own name, freely configurable, and each of its variants.

    Args:
        variants: for each variant its spec and the constructor arguments that make it.
    """
    BACKBONES.register(family)
    for variant, arguments in variants:
        if variant.family != family.__name__:
            raise ValueError(f"{variant.name}: the spec's family is {variant.family}, not {family.__name__}")
        BACKBONES.register(family, name=variant.name, defaults=arguments)
        _SPECS[variant.name] = variant


def list_models(pattern: str = "*") -> List[str]:
    """Return the variants whose name matches a shell-style ``pattern``, whatever the case, sorted."""
    return [name for name in sorted(_SPECS) if fnmatch.fnmatchcase(name.lower(), pattern.lower())]


def spec(name: str) -> ModelSpec:
    """Return the facts about the variant called ``name``.

    Raises:
        ConfigError: no such variant, or ``name`` is a whole family.
    """
    if name in _SPECS:
        return _SPECS[name]
    if name in BACKBONES:
        raise ConfigError(f"{name} is a family, which has no spec of its own; name one of {', '.join(list_models())}")
    raise ConfigError(f"unknown architecture {name!r}{suggest(name, _SPECS)}")


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
    model = _build(name, {"class_num": class_num, **arguments})
    path = local_weights(name, pretrained)
    if path is not None:
        size = pretrained_image_size or made_for(name, pretrained)
        load_weights(model, path, drop_mismatched_head=drop_mismatched_head, image_size=size)
    return model


def _build(name: str, arguments: Mapping[str, Any]) -> Backbone:
    """Build an architecture; the constructor's own messages come before those about types."""
    try:
        model: Backbone = BACKBONES.build(name, arguments)
    except ConfigError:
        raise
    except Exception:
        _require_types(name, arguments)
        raise
    _require_types(name, arguments)
    return model


def _require_types(name: str, arguments: Mapping[str, Any]) -> None:
    wrong = wrong_types(BACKBONES[name], arguments)
    if wrong:
        raise ConfigError(f"{name}: {'; '.join(wrong)}")


def made_for(name: str, pretrained: Union[bool, str, Path, None]) -> Optional[int]:
    """Return the image size that the weights of ``create_model``'s ``pretrained`` were made for, if it is known."""
    return spec(name).image_size if pretrained is True else None


def local_weights(name: str, pretrained: Union[bool, str, Path, None]) -> Optional[Path]:
    """Return the path of what ``create_model``'s ``pretrained`` means, downloaded if need be; None if it means none.

    Raises:
        ConfigError: it is neither a path nor a truth value.
        WeightsError: nothing is published for this variant, or it cannot be fetched.
    """
    if pretrained is True:
        if name not in _SPECS:
            raise WeightsError(f"{name}: no published weights are known; give pretrained a path instead of true")
        return public_weights(_SPECS[name])
    if pretrained is None or pretrained is False:
        return None
    if not isinstance(pretrained, (str, Path)):
        raise ConfigError(f"pretrained: expected a path, got {pretrained!r}")
    if isinstance(pretrained, str) and is_url(pretrained):
        return weights_at(pretrained)
    return user_path(pretrained)
