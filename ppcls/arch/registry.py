"""Which architectures exist, and how one is built by name."""

from __future__ import annotations

import fnmatch
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Type

from ppcls.arch.backbone.base import Backbone
from ppcls.arch.model_spec import ModelSpec
from ppcls.errors import ConfigError
from ppcls.registry import Registry, nearest, suggest

BACKBONES = Registry(
    "architecture", required_arguments=("class_num",), interface=("forward", "state_dict"), base="paddle.nn.Layer"
)

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
        ConfigError: no such variant, or ``name`` is a whole family or a layer that was registered without a spec.
    """
    if name in _SPECS:
        return _SPECS[name]
    variants: Dict[str, List[str]] = {}
    for known in list_models():
        variants.setdefault(_SPECS[known].family, []).append(known)
    if name in variants:
        raise ConfigError(f"{name} is a family; name one of its models: {', '.join(variants[name])}")
    if name in BACKBONES:
        listed = ", ".join(list_models())
        raise ConfigError(f"{name} is not one of the package's models, and has no spec; name one of {listed}")
    family = None
    if "_" not in name or nearest(name, _SPECS) is None:
        family = nearest(name.partition("_")[0], variants)
    if family is not None:
        raise ConfigError(f"unknown architecture {name!r}; did you mean one of {', '.join(variants[family])}?")
    raise ConfigError(f"unknown architecture {name!r}{suggest(name, _SPECS)}")
