"""The recipe, the machine, and what to type next."""

from __future__ import annotations

import shlex
from html import escape
from typing import List, Tuple

from ppcls.report.elements import Section
from ppcls.report.run_data import RunData
from ppcls.utils.html import details, table

_DEFAULT = "default"
STYLE = """
.recipe .from { color: var(--accent) } .recipe .default { color: var(--dim) }
"""


def recipe(data: RunData) -> Section:
    """Return the section."""
    section = Section("recipe", "Recipe, machine and next commands")
    lines = [_line(line) for line in data.recipe.splitlines()]
    text = f"<pre class='recipe'>{chr(10).join(lines)}</pre>"
    section.body.append(details("the recipe, with the origin of each value", text))
    section.body.append(table(("trained with", ""), _machine(data), (1,)))
    section.body.append("<h3>Next</h3>")
    commands = [f"{command:<{_width(data)}}  # {what}" for command, what in _commands(data)]
    section.body.append(f"<pre>{escape(chr(10).join(commands))}</pre>")
    return section


def _line(line: str) -> str:
    """Return a line of the recipe, its origin marked; values that nobody chose are dim."""
    value, mark, origin = line.rpartition("  # ")
    if not mark:
        return escape(line)
    if origin == _DEFAULT:
        return f"<span class='default'>{escape(line)}</span>"
    return f"{escape(value)}  <span class='from'># {escape(origin)}</span>"


def _machine(data: RunData) -> List[Tuple[str, str]]:
    machine = data.records.machine
    rows = [("folder", str(data.folder)), *((key, str(value)) for key, value in data.versions.items())]
    rows += [(key.replace("_", " "), str(value)) for key, value in machine.items() if key != "kind"]
    return [(escape(name), escape(value)) for name, value in rows]


def _commands(data: RunData) -> List[Tuple[str, str]]:
    run = shlex.quote(str(data.folder))
    recipe_file = data.folder / "recipe.yaml"
    again = [(f"ppcls train -c {shlex.quote(str(recipe_file))} -o Global.output_dir=OTHER", "train with changes of it")]
    return [
        (f"ppcls eval {run}", "the numbers again, per class"),
        (f"ppcls infer {run} IMAGES --out answers.csv", "answers for other images"),
        (f"ppcls explain {run} IMAGES", "what answers rest on"),
        (f"ppcls serve {run}", "a page to try it"),
        (f"ppcls export {run}", "files for deployment"),
        (f"ppcls report {run}", "this page again"),
        *(again if recipe_file.is_file() else []),
    ]


def _width(data: RunData) -> int:
    return max(len(command) for command, _ in _commands(data))
