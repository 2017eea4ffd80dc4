"""The JSON schema of recipes, with which editors complete and check them."""

from __future__ import annotations

import collections.abc
import json
import typing
from typing import Any, Dict, List, Literal, Mapping, Type, Union, cast

from pydantic import BaseModel, ConfigDict, create_model

from ppcls.config.components import SITES, Site
from ppcls.config.distillation import DISTILLATION_MODEL
from ppcls.config.schema import Config
from ppcls.registry import Entry, Registry

_DELETE = {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}
_ARITHMETIC = {"type": "string", "pattern": r"^[-+*/().\d\seE]+$"}


def json_schema(registries: Mapping[str, Registry]) -> Dict[str, Any]:
    """Return the schema of a recipe, with the arguments of every registered component."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    for kind, registry in registries.items():
        definitions[f"{kind}.item"] = _item_schema(registry, definitions)
    for site in SITES:
        if site.path != ("Callbacks",):
            _attach(definitions, site, registries[site.kind])
    schema["properties"]["_base_"] = {
        "description": "Recipes that this one builds on, relative to this file.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }
    schema["properties"]["Callbacks"]["items"] = {"$ref": "#/$defs/callback.item"}
    definitions["delete_mark"] = _DELETE
    schema["title"] = "ppcls recipe"
    return cast(Dict[str, Any], _relaxed(schema))


def _item_schema(registry: Registry, definitions: Dict[str, Any]) -> Dict[str, Any]:
    properties = {}
    for name in registry.names():
        arguments = _arguments_model(registry[name]).model_json_schema()
        definitions.update(arguments.pop("$defs", {}))
        properties[name] = {"anyOf": [arguments, {"type": "null"}]}
    limits = {"minProperties": 1, "maxProperties": 1} if properties else {}
    return {"type": "object", "properties": properties, "additionalProperties": False, **limits}


def _attach(definitions: Dict[str, Any], site: Site, registry: Registry) -> None:
    """Put a registry's names and arguments where a recipe may use them."""
    owners = {"Optimizer": "OptimizerSection", "Arch": "ArchSection", "teacher": "TeacherSection"}
    owner = {**owners, "models": "ModelSection"}.get(site.path[-1], "")
    sections = {"lr": "Schedule", "dataset": "Dataset", "sampler": "Sampler", "PostProcess": "PostProcessSection"}
    if site.section_keys:
        target = definitions[owner or sections[site.path[-1]]]
        also = [DISTILLATION_MODEL] if owner == "ArchSection" else []
        target["properties"]["name"] = {
            "description": target["properties"]["name"]["description"],
            "enum": [*registry.names(), *also],
        }
        others = dict.fromkeys((*site.section_keys, "_delete_"), True)
        # A section without a name, which is that of its base, is not checked here.
        target["allOf"] = [_when_named(name, registry, others, definitions) for name in registry.names()]
        return
    section = {"transforms": "InferSection"}.get(site.path[-1])
    section = section or ("Dataset" if site.path[0] == "DataLoader" else f"{site.path[0]}Section")
    described = definitions[section]["properties"][site.path[-1]]
    definitions[section]["properties"][site.path[-1]] = {
        **{key: described[key] for key in ("description",) if key in described},
        "anyOf": [{"type": "array", "items": {"$ref": f"#/$defs/{site.kind}.item"}}, {"type": "null"}],
    }


def _arguments_model(entry: Entry) -> Type[BaseModel]:
    """Return a pydantic model of a component's arguments, from which the JSON schema is made."""
    fields: Dict[str, Any] = {
        parameter.name: (
            _known_types(parameter.annotation),
            _default(parameter.default) if not parameter.required else ...,
        )
        for parameter in entry.parameters()
    }
    return create_model(entry.name, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields)


def _known_types(annotation: Any) -> Any:
    """Return an annotation with ``Any`` in place of the types that ``registry.arguments`` does not check."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal or annotation in (int, float, bool, str, type(None), list, dict):
        return annotation
    if not arguments:
        return Any
    members = tuple(_known_types(argument) for argument in arguments)
    if origin is Union:
        return Union[members]
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
        return Dict[str, members[1]]  # type: ignore[valid-type]
    if isinstance(origin, type) and issubclass(origin, collections.abc.Sequence):
        return List[members[0]] if origin is not tuple else List[Any]  # type: ignore[valid-type]
    return Any


def _default(value: Any) -> Any:
    """Return a default that JSON can hold; for others ``...``, which means that there is none."""
    try:
        json.dumps(value)
    except TypeError:
        return ...
    return value


def _when_named(name: str, registry: Registry, others: Dict[str, Any], definitions: Dict[str, Any]) -> Dict[str, Any]:
    """Return the rule "if the section's name is this, its other keys are this component's arguments"."""
    arguments = _arguments_model(registry[name]).model_json_schema()
    definitions.update(arguments.pop("$defs", {}))
    return {
        "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
        "then": {"properties": {**arguments.get("properties", {}), **others}, "additionalProperties": False},
    }


def _relaxed(node: Any) -> Any:
    """Return the schema with arithmetic allowed for numbers, and nothing required: a base or ``-o`` may give it."""
    if isinstance(node, list):
        return [_relaxed(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "const" in str(node.get("properties", {}).get("name", "")):
        return node  # a condition: it holds only where the name is given
    relaxed = {key: _relaxed(value) for key, value in node.items() if key != "required" or not _is_names(value)}
    if relaxed.get("additionalProperties") is False and "properties" in relaxed:
        relaxed["properties"] = {**relaxed["properties"], "_delete_": {"$ref": "#/$defs/delete_mark"}}
    if relaxed.get("type") in ("number", "integer"):
        annotations = {key: relaxed.pop(key) for key in ("description", "default", "title") if key in relaxed}
        return {**annotations, "anyOf": [relaxed, _ARITHMETIC]}
    return relaxed


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
