"""``Stages:``: one recipe, trained several times in a row with changes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from ppcls.config import inherit, overrides
from ppcls.config.problems import Problem, format_problem
from ppcls.config.schema import AUTO
from ppcls.config.tree import Node, Path, child, descend, dotted, leaves, plain
from ppcls.errors import ConfigError

STAGES = "Stages"
BEST = "best"
# The values of `init` that mean weights of the stage before. With EMA, checkpoints hold the average.
WEIGHTS = {BEST: "best_model", "latest": "latest", "ema": "latest"}
RAW = "latest_raw"
# Keys that the stage itself decides, and what to write instead.
_FIXED = {
    ("Global", "output_dir"): "a stage writes to its own folder in the recipe's Global.output_dir",
    ("Global", "output_layout"): "a stage writes to its own folder in the recipe's Global.output_dir",
    ("Global", "pretrained_model"): "use the stage's init",
    ("Global", "checkpoints"): "a stage continues by itself",
}


@dataclass(frozen=True)
class Stage:
    """The resolved recipe of a stage, before it is checked.

    Attributes:
        origin: where its override is written, or the stage if it has none.
        override: its changes.
        tree: the whole recipe.
    """

    name: str
    origin: str
    override: Dict[str, Node]
    tree: Node

    def format_problem(self, problem: Problem) -> str:
        """Return "file:line: stage NAME: Dotted.path: what is wrong"."""
        text = format_problem(problem, self.tree, f"stage {self.name}")
        overridden = set().union(*(_origins(value) for value in self.override.values()))
        if descend(self.tree, problem.path)[0].origin in overridden:
            return text
        return (
            f"{text}; this value is inherited, not set in the stage's override ({self.origin}); drop it there with "
            f"`{inherit.DELETE}: true`"
        )


def expand(tree: Node, messages: List[str]) -> List[Stage]:
    """Return the stages of a recipe whose ``Stages`` section has the right types.

    Args:
        messages: receives what is wrong with names, ``init`` and keys.
    """
    section = child(tree, STAGES)
    settings = child(tree, "Global") or Node(None, tree.origin)
    if section is None or section.value is None or not isinstance(settings.value, (dict, type(None))):
        return []
    base = Node({key: value for key, value in tree.value.items() if key != STAGES}, tree.origin)
    expanded: List[Stage] = []
    for index, node in enumerate(section.value):
        try:
            expanded.append(_expand(base, node, index, expanded))
        except ConfigError as error:
            messages.append(str(error))
    return expanded


def _expand(base: Node, node: Node, index: int, before: Sequence[Stage]) -> Stage:
    name = str(plain(node.value["name"]))
    if any(stage.name.lower() == name.lower() for stage in before):
        raise ConfigError(f"{node.value['name'].origin}: {STAGES}.{index}.name: {name!r} is used twice")
    section = child(node, "override")
    override: Dict[str, Node] = dict(section.value or {}) if section is not None else {}
    tree = _overlaid(base, override, name)
    _refuse_fixed(base, tree, name)
    global_section = child(base, "Global") or Node({}, base.origin)
    written = {key: plain(value) for key, value in (global_section.value or {}).items()}
    if written.get("output_layout") == "arch":
        raise ConfigError(
            f"{child(global_section, 'output_layout').origin}: Global.output_layout: arch: a recipe with {STAGES} has "
            f"one folder per stage, in output_dir; remove it"
        )
    root = written.get("output_dir") or "./output"
    here = node.value["name"].origin
    values = {("Global", "output_dir"): Node(str(PurePath(str(root)) / name), here)}
    if written.get("checkpoints") is None:
        values["Global", "checkpoints"] = Node(AUTO, here)
    start = _start(node, index, root, before)
    if start is not None:
        values["Global", "pretrained_model"] = start
    for path, value in values.items():
        tree = overrides.set_at(tree, path, value)
    return Stage(name, section.origin if section is not None else node.origin, override, tree)


def _overlaid(base: Node, override: Dict[str, Node], name: str) -> Node:
    """Return the base recipe with a stage's changes, those of the command line last."""
    tree = base
    for key, value in sorted(override.items(), key=lambda item: item[1].origin.startswith("-o ")):
        parts = key.split(".")
        if not all(parts) or parts[0] in (STAGES, inherit.BASE):
            raise ConfigError(f"{value.origin}: stage {name}: {key}: write Section.key, for example Global.epochs")
        try:
            tree = overrides.set_at(tree, parts, value, combine=inherit.merge)
        except ConfigError as error:
            raise ConfigError(f"stage {name}: {error.message}", error.origin) from None
    return inherit.without_marks(tree)


def _refuse_fixed(base: Node, tree: Node, name: str) -> None:
    for path, advice in _FIXED.items():
        before, now = descend(base, path), descend(tree, path)
        if now[1] == path and now[0] is not before[0]:
            raise ConfigError(f"{now[0].origin}: stage {name}: {dotted(path)} cannot be overridden: {advice}")


def _start(node: Node, index: int, root: Any, before: Sequence[Stage]) -> Optional[Node]:
    """Return the weights that a stage starts from; None for those of the recipe's Global.pretrained_model."""
    written = child(node, "init")
    init = plain(written) if written is not None else None
    if index == 0:
        if init is not None:
            assert written is not None
            raise ConfigError(
                f"{written.origin}: {STAGES}.0.init: the first stage starts from Global.pretrained_model; give that"
            )
        return None
    init = BEST if init is None else str(init)
    origin = written.origin if written is not None else node.origin
    if init not in WEIGHTS or not before:  # nothing is before it if the first stage has a mistake
        return Node(init, origin)
    previous = before[-1]
    evaluates = descend(previous.tree, ("Global", "eval_during_train"))
    if init == BEST and evaluates[1] and plain(evaluates[0]) is False:
        raise ConfigError(
            f"{origin}: {STAGES}.{index}.init: {BEST}: stage {previous.name} does not evaluate "
            f"(Global.eval_during_train: {evaluates[0].origin}), so it has no best weights; write init: latest"
        )
    average = child(previous.tree, "EMA")
    if init == "ema" and (average is None or average.value is None):
        raise ConfigError(f"{origin}: {STAGES}.{index}.init: ema: stage {previous.name} has no EMA section")
    averages = average is not None and average.value is not None
    weights = RAW if init == "latest" and averages else WEIGHTS[init]
    return Node(str(PurePath(str(root)) / previous.name / weights), origin)


def warn_of_unused_overrides(tree: Node, expanded: Sequence[Stage]) -> None:
    """Warn of overrides that change nothing, and of ``-o`` values that a stage's override replaces."""
    log = logging.getLogger(__name__)
    for index, stage in enumerate(expanded):
        for key, value in stage.override.items():
            path = _path(tree, key)
            before, now = descend(tree, path), descend(stage.tree, path)
            same = before[1] == now[1] == path and plain(before[0]) == plain(now[0])
            if same and not value.origin.startswith("-o "):
                log.warning("%s: stage %s: %s changes nothing", value.origin, stage.name, key)
        if index and not stage.override:
            log.warning("%s: stage %s has no override: it repeats the recipe", stage.origin, stage.name)
        for path, node in leaves(tree):
            current, reached = descend(stage.tree, path)
            replaced = reached == path and path not in (*_FIXED, ("Global",)) and plain(current) != node.value
            if replaced and node.origin.startswith("-o ") and path[0] != STAGES:
                log.warning(
                    "%s: stage %s has its own value, %r (%s); -o %s.%d.override.%s=... changes that",
                    *(node.origin, stage.name, plain(current), current.origin, STAGES, index, dotted(path)),
                )


def _path(tree: Node, key: str) -> Path:
    """Return a dotted key as a path, with numbers where it leads through lists."""
    path: Tuple[Any, ...] = ()
    for part in key.split("."):
        here = descend(tree, path)[0]
        path = (*path, int(part) if isinstance(here.value, list) and part.isdigit() else part)
    return path


def _origins(node: Node) -> Set[str]:
    """Return where a value and all below it were written."""
    value = node.value
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {node.origin}.union(*(_origins(item) for item in below))
