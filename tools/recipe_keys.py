"""The page docs/recipe_keys.md: every key of a recipe, from the schema by which recipes are checked."""

import json

from ppcls.config.schema import Config

HEADER = """# Recipe keys

Every key of a recipe, with its default. A recipe gives only those that differ; `ppcls config -c RECIPE` shows all of
them with their values, and where each is from. How files, inheritance and `-o` work is in [recipes](recipes.md). Names
of components and their arguments are in [components](components.md). Written by `make reference`.
"""
# Sections whose other keys are the arguments of the component that `name` selects: headings of docs/components.md.
COMPONENTS = {
    "ArchSection": "architectures",
    "TeacherSection": "architectures",
    "ModelSection": "architectures",
    "OptimizerSection": "optimizers",
    "Schedule": "learning-rate-schedules",
    "Dataset": "data-sets",
    "Sampler": "samplers",
    "PostProcessSection": "post-processing",
}
FILE_KEYS = """## Keys of every file

| key | value | meaning |
| --- | --- | --- |
| `_base_` | text or list of text | Recipes that this one builds on, see [Inheritance](recipes.md#inheritance). |
| `_delete_` | true or list of keys | In any section: forget what the bases say about it, or about these keys. |
"""


def keys_page() -> str:
    """Return the text of the page."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    parts = [HEADER]
    for name, section in schema["properties"].items():
        target = section_of(section)
        about = section.get("description") or definitions[target]["description"]
        parts.append(f"## {name}\n\n{about}\n")
        if target:
            prefix = "- " if section_type(section) == "array" else ""
            rows = list(key_rows(definitions[target], definitions, prefix, {}))
            parts.append("\n".join(["| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n")
        else:
            parts.append(f"A {type_text(section)}.\n")
    return "\n".join([*parts, FILE_KEYS])


def key_rows(section, definitions, prefix, shown):
    """Yield a row of the table for each key of a section, those of sections in it included."""
    for key, value in section["properties"].items():
        target = section_of(value)
        about = value.get("description") or (definitions[target]["description"] if target else "")
        if target in shown:
            about = f"As `{shown[target]}`."
        default = default_text(value) if "default" in value else "required"
        yield f"| `{prefix}{key}` | {type_text(value)} | {default} | {as_cell(about)} |"
        if target and target not in shown:
            shown[target] = f"{prefix}{key}"
            name = {"array": ".0", "object": ".NAME"}.get(section_type(value), "")
            yield from key_rows(definitions[target], definitions, f"{prefix}{key}{name}.", shown)
    if section["title"] in COMPONENTS:
        link = f"[arguments](components.md#{COMPONENTS[section['title']]})"
        yield f"| `{prefix}*` | | | The {link} of what `{prefix}name` names. |"


def choices(value):
    """Return the alternatives of a value's type."""
    return value.get("anyOf") or [value]


def section_of(value):
    """Return the name of the section that a value is, or has in a list or by names; None for plain values."""
    for choice in choices(value):
        inner = choice if "$ref" in choice else choice.get("items") or choice.get("additionalProperties")
        if isinstance(inner, dict) and "$ref" in inner:
            return inner["$ref"].rpartition("/")[2]
    return None


def section_type(value):
    """Return how a value holds its section: as an "array", an "object" of names, or None for the section itself."""
    return next((choice.get("type") for choice in choices(value) if choice.get("type") in ("array", "object")), None)


def type_text(value) -> str:
    """Return in words what a value may be."""
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(type_text(choice) for choice in value["anyOf"]))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{item}`" for item in value.get("enum") or [value["const"]])
    if "$ref" in value:
        return "section"
    kind = value.get("type")
    if kind == "array":
        return f"list of {list_text(value)}"
    if kind == "object":
        return "sections by name" if section_of(value) else "mapping"
    return {"boolean": "true or false", "string": "text", "integer": "whole number"}.get(kind, str(kind)) + bounds(
        value
    )


def list_text(value) -> str:
    """Return what the items of a list are."""
    items = value["items"]
    if "$ref" in items:
        return "sections"
    if items.get("type") == "object":
        return "[components](components.md)"
    number = f"{value['minItems']} " if "maxItems" in value else ""
    kinds = {"integer": "whole numbers"}
    return number + kinds.get(items.get("type"), type_text(items))


def bounds(value) -> str:
    """Return the limits of a number, such as " (at least 1)"."""
    words = {
        "at least": ("minimum", "ge"),
        "at most": ("maximum", "le"),
        "above": ("exclusiveMinimum", "gt"),
        "below": ("exclusiveMaximum", "lt"),
    }
    found = [(word, value[key]) for word, keys in words.items() for key in keys if key in value]
    return f" ({', '.join(f'{word} {number:.12g}' for word, number in found)})" if found else ""


def default_text(value) -> str:
    """Return a default as a recipe writes it; nothing for sections, whose keys have their own."""
    default = value["default"]
    if section_of(value) and default:
        return ""
    if default == "":  # another rule asks for it
        return "required"
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def as_cell(text: str) -> str:
    """Return a description as a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
