"""Which part of a file holds the weights: what other programs put around them, in one table.

A file may hold the weights in nested dicts (``{"state_dict": {...}, "epoch": 3}``), under prefixed names
(``model.stem.weight``), or both, and several copies of them: an average, a teacher, the trained model. Everything here
works on descriptions of tensors; none is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ppcls.utils.text import listed, printable

Fits = Callable[[Iterable[str]], bool]
Tensors = Dict[str, Any]

# Keys of dicts around the weights, in any case. Where a file has several copies, the first one here is taken.
_AVERAGES = tuple(
    form.format(kind)
    # timm, torch.optim.swa_utils, OpenMMLab, BasicSR, ema_pytorch, Lightning.
    for kind in ("ema", "swa", "avg")
    for form in (
        *("state_dict_{}", "model_{}", "{}_state_dict", "{}_model_state_dict", "model_{}_state_dict", "{}_model"),
        *("model_state_dict_{}", "params_{}", "{}_params", "{}_weights", "{}_net"),
    )
)
_WRAPPERS = (
    *(*_AVERAGES, "ema", "swa", "averaged_model", "average_model", "averaging_state", "shadow"),
    # Self-distillation (DINO, mean teacher): the teacher is an average of the student.
    *("teacher_state_dict", "teacher_model", "model_teacher", "teacher"),
    # The trained model. "Student" stands for the trained model of a distillation.
    *("Student", "state_dict", "model_state_dict", "model_state", "model_weights", "model", "net_state_dict", "net"),
    *("network", "params", "weights", "module", "online_model"),
    *("best_state_dict", "best_model_state_dict", "best_model", "model_best"),
    *("student_state_dict", "student_model", "model_student", "student"),
    # Any other model of a distillation, of PaddleClas's or ours, is another network.
    "Teacher",
)
_RANKS = {key: rank for rank, key in enumerate(_WRAPPERS)}
# First parts of tensor names that are no part of the model. "network" is one of CycleMLP's own.
_COMPILED = "_orig_mod"
_TRUNKS = ("model", "net", "module", "backbone", _COMPILED)  # the classifier may stand beside these
_PREFIXES = (
    *_TRUNKS,
    *("ema_model", "model_ema", "ema", "swa_model", "model_swa", "avg_model", "averaged_model", "online_model"),
    *("teacher_model", "model_teacher", "teacher", "student_model", "model_student", "student"),
)
_PREFIX_RANKS = {prefix: _RANKS.get(prefix, _RANKS["model"]) for prefix in _PREFIXES}
# The models of a distillation have names with a capital; PaddleClas numbers several students.
_DISTILLED = re.compile(r"(Student|Teacher)\d*")
_NUMBERED_STUDENT = re.compile(r"Student\d+")
STUDENT = "Student"
_HEAD = "head"
# What training needs beside a model, and inference does not.
_AUXILIARY = re.compile(
    r"data_preprocessor|preprocessor|(\w+_)?(criterion|loss|loss_fn|loss_func|metric|metrics|acc|accuracy)(_fn)?"
)
# Counters of averages, beside the tensors.
_COUNTERS = ("n_averaged", "num_updates", "updates", "initted", "step", "steps", "decay")
# The states of Lightning's callbacks, among which some keep an average of the weights.
CALLBACKS = "callbacks"
# Paddle keeps its own variable names beside the weights.
PADDLE_NAMES = "StructuredToParameterName@@"
# Keys whose dicts hold tensors that are no weights.
NOT_WEIGHTS = re.compile(
    r"optim\w*|(\w+_)?optimizers?(_states?|_state_dict)?|opt(_state)?|\w*sched\w*|\w*scaler\w*|amp|loops|rng\w*"
    r"|hyper_parameters|grads?|gradients|moment\w*|master_weights|state",
    re.IGNORECASE,
)
# Names of an optimizer's tensors: ours and Paddle's ("conv.weight/moment1", "conv2d_0.w_0_moment1_0"), PyTorch's.
_OPTIMIZER_TENSOR = re.compile(
    r".*[./_](moment[12]?|velocity|beta[12]_pow(_acc)?|inf_norm|mean_square|mean_grad|master_weight|exp_avg\w*"
    r"|momentum_buffer|max_exp_avg_sq)(_\d+)?"
)
_MAX_LISTED = 10


@dataclass(frozen=True)
class Copy:
    """One copy of the weights in a file.

    Attributes:
        path: the keys and prefixes that lead to it.
        tensors: descriptions by name, without the prefixes.
        left_out: names beside them that are no part of the model.
        note: what else is to be said about it.
    """

    path: Tuple[str, ...]
    tensors: Tensors
    left_out: Tuple[str, ...] = ()
    note: str = ""

    @property
    def key(self) -> str:
        """Return the value of ``weights_key`` that chooses it."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return f"{printable(self.key) or 'the file itself'} ({len(self.tensors)} tensors{self.note})"

    def rank(self, submodel: str) -> List[int]:
        """Return by what copies are sorted, the preferred one first."""
        return sorted(rank_of(part, submodel) for part in self.path)


@dataclass(frozen=True)
class Wanted:
    """What the caller knows of the weights.

    Attributes:
        fits: returns whether tensor names are those of the caller's model, so that no prefix is removed from them;
            None if the model is not known.
        submodel: the model that is wanted of a distillation's.
    """

    fits: Optional[Fits] = None
    submodel: str = STUDENT


def prefix_groups(names: Iterable[str]) -> List[str]:
    """Return the first parts of tensor names that look like prefixes, with the number of tensors."""
    groups: Dict[str, int] = {}
    for name in names:
        first, dot, _ = name.partition(".")
        if dot:
            groups[first] = groups.get(first, 0) + 1
    return [f"{printable(first)} ({count} tensors)" for first, count in groups.items() if count > 1]


def list_names(names: Sequence[str], limit: int = _MAX_LISTED) -> str:
    """Return names from a file as one text, the first ones of many."""
    return listed([printable(name) for name in names], limit)


def rank_of(key: str, submodel: str = STUDENT) -> int:
    """Return by what keys and prefixes are sorted, the preferred one first."""
    folded = key.lower()
    known = _RANKS.get(folded, _PREFIX_RANKS.get(folded))
    if key[:1].isupper() and (known is None or key == submodel or _DISTILLED.fullmatch(key)):
        wanted = key == submodel or (submodel == STUDENT and _NUMBERED_STUDENT.fullmatch(key))
        return _RANKS[STUDENT if wanted else "Teacher"]
    return _RANKS["model"] if known is None else known


def is_model_of_distillation(key: str) -> bool:
    """Return whether a key is the usual name of a student or teacher."""
    return _DISTILLED.fullmatch(key) is not None


def is_wrapper(key: Any) -> bool:
    """Return whether a dict at this key is a copy of the weights, or holds some."""
    return isinstance(key, str) and (key.lower() in _RANKS or _DISTILLED.fullmatch(key) is not None)


def _models_of_distillation(groups: Iterable[str], submodel: str) -> List[str]:
    """Return the models that tensor names begin with, the wanted one first; none if they are something else."""
    names = list(groups)
    if not all(name[:1].isupper() for name in names):
        return []
    names.sort(key=lambda name: rank_of(name, submodel))
    known = len(names) == 1 or rank_of(names[0], submodel) == _RANKS[STUDENT]
    return names if known else []


def is_optimizer(names: Sequence[str]) -> bool:
    """Return whether tensors are the state of an optimizer."""
    return sum(_OPTIMIZER_TENSOR.fullmatch(name) is not None for name in names) > len(names) / 2


def without_prefixes(tensors: Tensors, path: Tuple[str, ...], wanted: Wanted) -> Iterator[Copy]:
    """Yield the copies of weights among tensors of one dict, without the prefixes of their names."""
    names = [name for name in tensors if name not in _COUNTERS]
    if not names:  # the state of an average whose weights are elsewhere
        return
    if not all(isinstance(name, str) for name in names) or (wanted.fits is not None and wanted.fits(names)):
        yield Copy(path, tensors)
        return
    groups: Dict[str, Tensors] = {}
    for name in names:
        first, dot, rest = name.partition(".")
        groups.setdefault(first if dot else "", {})[rest if dot else name] = tensors[name]
    models = _models_of_distillation(groups, wanted.submodel)
    prefixes = models or [part for part in groups if part.lower() in _PREFIX_RANKS]
    beside = [part for part in groups if part not in prefixes and not _AUXILIARY.fullmatch(part)]
    with_head = beside == [_HEAD] and len(prefixes) == 1 and prefixes[0] in _TRUNKS
    if with_head:
        with_head = not any(name.startswith(f"{_HEAD}.") for name in groups[prefixes[0]])
    if not prefixes or (beside and not with_head):  # its own names, or nothing that is known
        yield Copy(path, _without_compiled(tensors))
        return
    left_out = tuple(name for name in names if _AUXILIARY.fullmatch(name.partition(".")[0]))
    for prefix in prefixes:
        inner = dict(groups[prefix])
        if with_head:
            inner.update(_head(groups[_HEAD]))
        # What wraps the whole model is no name of a copy.
        place = path if prefix in ("module", _COMPILED) or with_head else (*path, prefix)
        other_models = [name for name in names if models and name.partition(".")[0] != prefix]
        for copy in without_prefixes(inner, place, wanted):
            yield Copy(copy.path, copy.tensors, (*left_out, *other_models, *copy.left_out), copy.note)


def _head(tensors: Tensors) -> Tensors:
    """Return a classifier that stands beside its backbone; OpenMMLab's is ``head.fc``."""
    prefix = "fc." if all(name.startswith("fc.") for name in tensors) else ""
    return {f"{_HEAD}.{name[len(prefix) :]}": value for name, value in tensors.items()}


def _without_compiled(tensors: Tensors) -> Tensors:
    """Return tensors without the mark of a part that ``torch.compile`` wrapped."""
    return {".".join(part for part in name.split(".") if part != _COMPILED): value for name, value in tensors.items()}


def sorted_copies(content: Dict[Any, Any], copies: Sequence[Copy], submodel: str) -> List[Copy]:
    """Return copies with the preferred one first."""
    ordered = sorted(copies, key=lambda copy: copy.rank(submodel))
    averaged = _swapped_average(content, ordered)
    return ordered if averaged is None else [averaged, *(copy for copy in ordered if copy.path != averaged.path)]


def _swapped_average(content: Dict[Any, Any], copies: Sequence[Copy]) -> Optional[Copy]:
    """Return the average in a file of MMEngine's, whose EMAHook keeps it in ``state_dict``.

    The trained weights are in ``ema_state_dict``. Source: mmengine/hooks/ema_hook.py, ``before_save_checkpoint``.
    """
    meta = content.get("meta")
    if not (isinstance(meta, dict) and "mmengine_version" in meta and "ema_state_dict" in content):
        return None
    found = next((copy for copy in copies if copy.path[:1] == ("state_dict",)), None)
    note = ", the average: MMEngine swaps the two"
    return None if found is None else Copy(found.path, found.tensors, found.left_out, note)
