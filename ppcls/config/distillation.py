"""Several models in one recipe: ``Distillation.models``, and PaddleClas's ``Arch.name: DistillationModel``.

A recipe of PaddleClas is turned into one of ours when it is loaded: ``Arch`` is the model that is evaluated, and
``Distillation.models`` are the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from ppcls.config.components import Checked
from ppcls.config.overrides import set_at
from ppcls.config.paddleclas import unsupported_reason
from ppcls.config.paddleclas_tables import SWITCHES
from ppcls.config.problems import Problem
from ppcls.config.schema import Config, DistillationSection, TeacherSection
from ppcls.config.tree import Node, Path, child, descend, plain
from ppcls.registry import Registry, suggest
from ppcls.registry.arguments import shown

DISTILLATION_MODEL = "DistillationModel"
_ARCH, _MODELS, _POSTPROCESS = ("Arch",), ("Arch", "models"), ("Infer", "PostProcess")
_KEYS = ("name", "class_num", "models", "infer_model_name", "freeze_params_list", "pretrained_list", "use_sync_bn")


@dataclass
class _Model:
    """One of PaddleClas's ``models``."""

    path: Path
    values: Dict[str, Node]
    frozen: Node = field(default_factory=lambda: Node(False, ""))


def map_models(tree: Node, architectures: Registry) -> Tuple[Node, List[Problem]]:
    """Return a recipe with ``DistillationModel`` as one with ``Distillation.models``, any other as it is.

    Args:
        architectures: the registry.

    Returns:
        The tree; and what is wrong with the section, in which case the tree is as it was.
    """
    arch = child(tree, "Arch")
    if arch is None or not isinstance(arch.value, dict) or plain(arch.value.get("name", arch)) != DISTILLATION_MODEL:
        return tree, []
    problems: List[Problem] = list(_check_keys(tree, arch.value))
    models = _read_models(arch, architectures, problems)
    _read_list(arch, "freeze_params_list", models, problems, _set_frozen)
    _read_list(arch, "pretrained_list", models, problems, _set_pretrained)
    student = _student(arch, models, problems)
    if problems or student is None:
        return tree, problems
    student_model = models.pop(student.value)
    class_num = arch.value.get("class_num")
    common = {} if class_num is None else {"class_num": class_num}
    count = student_model.values.get("class_num", class_num)
    if count is not None and class_num is not None and plain(count) != plain(class_num):
        path = (*student_model.path, "class_num")
        return tree, [Problem(path, f"{plain(count)}, and Arch.class_num is {plain(class_num)}: they must agree")]
    section = {key: arch.value[key] for key in arch.value if key == "use_sync_bn" or _is_switch(key)}
    others = {name: _model_section(model, common) for name, model in models.items()}
    values = {
        **tree.value,
        "Arch": Node({**common, **section, **student_model.values}, arch.origin),
        "Distillation": Node({"student": student, "models": Node(others, arch.origin)}, arch.origin),
    }
    return _map_postprocess(Node(values, tree.origin), str(student.value))


def _map_postprocess(tree: Node, student: str) -> Tuple[Node, List[Problem]]:
    """Return a recipe with PaddleClas's ``DistillationPostProcess`` as one with the post-processing that it names."""
    section, path = descend(tree, _POSTPROCESS)
    if path != _POSTPROCESS or plain(section).get("name") != "DistillationPostProcess":
        return tree, []
    given = dict(section.value)
    problems = []
    for key, allowed in (("model_name", (student,)), ("key", (None, "logits"))):
        node = given.pop(key, None)
        if node is not None and plain(node) not in allowed:
            message = f"must be {allowed[-1]}, the answers of which are given, not {shown(plain(node))}"
            problems.append(Problem((*_POSTPROCESS, key), message))
    name = given.pop("func", Node("Topk", given["name"].origin))
    section = Node({**given, "name": name}, section.origin)
    return (tree, problems) if problems else (set_at(tree, _POSTPROCESS, section), [])


def _model_section(model: _Model, common: Mapping[str, Node]) -> Node:
    values = {**common, **model.values, "frozen": model.frozen}
    return Node(values, model.values["name"].origin)


def _check_keys(tree: Node, arch: Mapping[str, Node]) -> Iterator[Problem]:
    for key in arch:
        if key not in _KEYS and not _is_switch(key):
            yield Problem((*_ARCH, key), f"unknown key of {DISTILLATION_MODEL}{suggest(key, _KEYS)}")
    section = child(tree, "Distillation")
    if section is not None and section.value is not None:
        yield Problem(("Distillation",), f"conflicts with Arch.name: {DISTILLATION_MODEL}; keep one")


def _is_switch(key: str) -> bool:
    """Return whether PaddleClas has the key in every ``Arch``; ``ppcls.config.paddleclas`` says what becomes of it."""
    return f"Arch.{key}" in SWITCHES


def _read_models(arch: Node, architectures: Registry, problems: List[Problem]) -> Dict[str, _Model]:
    models: Dict[str, _Model] = {}
    listed = arch.value.get("models")
    if listed is None or not isinstance(listed.value, list) or len(listed.value) < 2:
        problems.append(Problem(_MODELS, "must be a list of at least two models, `Name: {name: ARCHITECTURE, ...}`"))
        return models
    for index, item in enumerate(listed.value):
        path = (*_MODELS, index)
        if not isinstance(item.value, dict) or len(item.value) != 1:
            problems.append(Problem(path, "each entry must be a map with one key, `Name: {name: ARCHITECTURE}`"))
            continue
        ((name, node),) = item.value.items()
        if not isinstance(node.value, dict) or "name" not in node.value:
            problems.append(Problem((*path, name), "needs a name, as in Arch"))
        elif name in models:
            problems.append(Problem((*path, name), "there is another model of this name"))
        else:
            models[str(name)] = _Model((*path, name), dict(node.value), Node(False, arch.origin))
            problems += _check_arguments(models[str(name)], architectures)
    return models


def _check_arguments(model: _Model, architectures: Registry) -> Iterator[Problem]:
    """Drop arguments of PaddleClas's networks whose feature is disabled; yield those of features that are not here."""
    name = plain(model.values["name"])
    for key, node in list(model.values.items()):
        switch = SWITCHES.get(f"Arch.{key}")
        if switch is not None and not (name in architectures and architectures[name].takes(key)):
            del model.values[key]
            message = unsupported_reason(switch, plain(node))
            if message is not None:
                yield Problem((*model.path, key), message)


def _read_list(arch: Node, key: str, models: Mapping[str, _Model], problems: List[Problem], assign: Any) -> None:
    """Give each model its item of a list, if there is one."""
    listed = arch.value.get(key)
    if listed is None or listed.value is None or not models:
        return
    count = len(arch.value["models"].value)
    if not isinstance(listed.value, list) or len(listed.value) != count:
        problems.append(Problem((*_ARCH, key), f"must be a list of {count}, one for each of Arch.models"))
        return
    for model in models.values():
        index = model.path[len(_MODELS)]
        message = assign(model, listed.value[index])
        if message is not None:
            problems.append(Problem((*_ARCH, key, index), message))


def _set_frozen(model: _Model, node: Node) -> Optional[str]:
    if not isinstance(node.value, bool):
        return f"must be true or false, not {shown(plain(node))}"
    model.frozen = node
    return None


def _set_pretrained(model: _Model, node: Node) -> Optional[str]:
    if node.value is None:
        return None
    given = plain(model.values["pretrained"]) if "pretrained" in model.values else None
    if given not in (None, False, node.value):
        return f"the model itself has pretrained: {given}; remove one of them"
    model.values["pretrained"] = node
    return None


def _student(arch: Node, models: Mapping[str, _Model], problems: List[Problem]) -> Optional[Node]:
    """Return the name of the model that is evaluated and exported."""
    path = (*_ARCH, "infer_model_name")
    node = arch.value.get("infer_model_name")
    if not models:
        return None
    names = ", ".join(models)
    if node is None or not isinstance(node.value, str):
        what = "missing" if node is None else f"must be one name, not {shown(plain(node))}"
        problems.append(Problem(path, f"{what}; it says which model is evaluated and exported, of {names}"))
        return None
    if node.value not in models:
        problems.append(Problem(path, f"there is no model {node.value!r}{suggest(node.value, models)}"))
        return None
    if models[node.value].frozen.value:
        message = f"{node.value} is frozen, and would be exported as it was; train it, or name another of {names}"
        problems.append(Problem(path, message))
    return node


def check(config: Config, checked: Checked, architectures: Registry) -> List[Problem]:
    """Check models and losses against each other, in a recipe without other mistakes."""
    section = config.Distillation
    models = section.models or {} if section is not None else {}
    problems: List[Problem] = list(_check_weight_options(section, architectures))
    student = config.student
    # Without Arch.class_num it follows from the data, and is compared when they are there.
    is_given = "class_num" in config.Arch.model_fields_set
    for name, model in models.items() if is_given else ():
        count = model.arguments.get("class_num", config.Arch.class_num)
        if count != config.Arch.class_num:
            message = f"{count}, and {student} (Arch) has {config.Arch.class_num} classes: they must agree"
            problems.append(Problem(("Distillation", "models", name, "class_num"), message))
    trained = [student, *(name for name, model in models.items() if not model.frozen)]
    learning: Set[str] = set()
    named: Set[str] = set()
    for path, component in checked.components.items():
        if path[:2] == ("Loss", "Train"):
            compared = getattr(component, "compared_models", [(student,)])
            learning.update(_check_loss(path, component, (student, *models), trained, problems))
            named.update(name for models_of_term in compared for name in models_of_term)
            problems += _check_targets(config, path, component)
        elif path[:2] == ("Loss", "Eval"):
            _check_loss(path, component, (student,), [student], problems)
        elif path[0] == "Metric" and getattr(component, "model_key", student) != student:
            message = f"{component.model_key!r}: metrics are those of {student}, which is evaluated and exported"
            problems.append(Problem((*path, "model_key"), message))
    if models and not problems:
        problems += _unused_models(student, models, learning, named)
    return problems


def _check_weight_options(section: Optional[DistillationSection], architectures: Registry) -> Iterator[Problem]:
    """Yield what is wrong with the keys that say more of the weights of a model beside that of ``Arch``."""
    if section is None:
        return
    found: Dict[Path, Any] = {("Distillation", "models", name): model for name, model in (section.models or {}).items()}
    if isinstance(section.teacher, TeacherSection):
        found["Distillation", "teacher"] = section.teacher
    for path, model in found.items():
        for key in ("weights_key", "weights_image_size"):
            if getattr(model, key) is None:
                continue
            if not isinstance(model.pretrained, str):
                yield Problem((*path, key), "describes the file of pretrained, which must then be its path or URL")
            elif key == "weights_image_size" and not architectures[model.name].takes("image_size"):
                yield Problem((*path, key), f"the weights of {model.name} fit images of any size; leave it out")


def _check_loss(
    path: Path, component: Any, known: Sequence[str], trained: Sequence[str], problems: List[Problem]
) -> Set[str]:
    """Check the models of a loss; return those that learn from it."""
    compared: Optional[Sequence[Sequence[str]]] = getattr(component, "compared_models", None)
    if compared is None:
        return {known[0]}
    learning: Set[str] = set()
    for term in compared:
        unknown = [name for name in term if name not in known]
        if unknown:
            problems.append(Problem((*path, _names_key(term)), _unknown_model(path, unknown[0], known)))
            continue
        learners = term if component.both_learn else term[:1]
        if not set(learners).intersection(trained):
            who = f"{learners[0]} is frozen" if len(learners) == 1 else f"{' and '.join(learners)} are frozen"
            message = f"nothing learns from [{', '.join(term)}]: {who}"
            problems.append(Problem((*path, _names_key(term)), message))
        learning.update(learners)
    return learning


def _check_targets(config: Config, path: Path, component: Any) -> Iterator[Problem]:
    """Yield a problem where a loss needs one class per image, and images are mixed."""
    train = config.DataLoader.Train
    mixed = train is not None and train.dataset.batch_transform_ops
    if mixed and getattr(component, "needs_one_class", False):
        message = (
            "mixed images (batch_transform_ops) have several target classes; give use_target_as_gt: true, which takes "
            "the teacher's decision, or remove the mixing"
        )
        yield Problem(path, message)


def _names_key(term: Sequence[str]) -> str:
    return "model_names" if len(term) == 1 else "model_name_pairs"


def _unknown_model(path: Path, name: str, known: Sequence[str]) -> str:
    message = f"there is no model {name!r}{suggest(name, known)}"
    if path[1] == "Eval":
        return f"{message}; only the model that is exported is evaluated"
    if len(known) == 1:
        return f"{message}; others are given by Arch.name: {DISTILLATION_MODEL}, or by Distillation.models"
    return message


def _unused_models(student: str, models: Mapping[str, Any], learning: Set[str], named: Set[str]) -> Iterator[Problem]:
    """Yield what is wrong with models that nothing trains, or that teach nobody."""
    if student not in learning:
        yield Problem(("Loss", "Train"), f"nothing trains {student}: no loss has it as a learner")
    for name, model in models.items():
        path = ("Distillation", "models", name)
        if model.frozen and name not in named:
            yield Problem(path, f"no loss of Loss.Train has {name}; remove it")
        elif not model.frozen and name not in learning:
            yield Problem(path, f"nothing trains {name}: no loss of Loss.Train has it as a learner; freeze it")
