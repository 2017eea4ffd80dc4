"""Arrays into a model: all or nothing, and a message that lists everything that does not fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Set, Tuple, Union

import numpy as np
import paddle
from paddle import nn

from ppcls.arch import require_method
from ppcls.errors import WeightsError
from ppcls.utils.text import printable
from ppcls.weights.detection import detect_architecture
from ppcls.weights.name_scheme import NameScheme
from ppcls.weights.names import name_schemes_of
from ppcls.weights.reader import read_weights

_MAX_LISTED = 10


@dataclass(frozen=True)
class LoadReport:
    """What ``load_weights`` did.

    Attributes:
        naming: whose tensor names the source used ("ppcls", "timm", ...).
        loaded: names in the model of the tensors that were set.
        dropped: names in the source of the tensors that were left out.
        fresh: names in the model of the tensors that keep their initialisation.
        resized: names in the model of the tensors that came from another image size or number of channels.
    """

    naming: str
    loaded: Tuple[str, ...]
    dropped: Tuple[str, ...]
    fresh: Tuple[str, ...]
    resized: Tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"loaded {len(self.loaded)} tensors ({self.naming} names)"
        if self.dropped:
            text += f", left out {_list_names(self.dropped)}"
        if self.resized:
            text += f", resized {_list_names(self.resized)}"
        if self.fresh:
            text += f", freshly initialised: {_list_names(self.fresh)}"
        return text


@dataclass
class WeightMatch:
    """How a source's tensors fit a model's."""

    naming: NameScheme
    arrays: Dict[str, np.ndarray]  # by name in the model, in the model's layout
    dropped: List[str]
    unexpected: List[str]
    missing: List[str]
    misshaped: Dict[str, str]  # name in the model: what is wrong
    transposed: bool = False  # the source's linear weights were [out, in]
    ambiguous: List[str] = field(default_factory=list)  # linear weights in the model that may be [in, out] or [out, in]

    @property
    def source(self) -> str:
        """Whose names the source uses, and its layout where that differs."""
        return self.naming.source + (", Paddle's layout," if self.naming.torch and not self.transposed else "")

    def problems(self) -> List[str]:
        """Return what is wrong, one line per kind of problem."""
        problems = []
        for kind, lines in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("mis-shaped", [f"{name} {problem}" for name, problem in self.misshaped.items()]),
            ("square, and nothing tells whether they are [in, out] or [out, in]", self.ambiguous),
        ):
            if lines:
                problems.append(f"  {len(lines)} {kind}: {_list_names(lines)}")
        return problems


def load_weights(
    model: nn.Layer,
    weights: Union[str, Path, Mapping[str, np.ndarray]],
    *,
    drop_mismatched_head: bool = False,
    adapt: bool = True,
    image_size: Union[int, Sequence[int], None] = None,
    submodel: str = "Student",
) -> LoadReport:
    """Set all weights of ``model``, or none of them.

    Args:
        model: any layer; ``ppcls.weights.names`` has the names that other implementations give the families' tensors.
        weights: a file (see ``read_weights``), or arrays by name.
        drop_mismatched_head: keep the classifier's initialisation if the source's has another number of classes, or
            if it has none.
        adapt: let the model make weights of another image size or number of channels fit (``Backbone.adapt``).
        image_size: image size of the weights in pixels, one number or [height, width] (gMLP only). Inferred by default:
            the model's own size if the number of patches is the same, else a square, else the model's proportions.
        submodel: which model to take of a file with several, as distillation writes it; see ``select_submodel``.

    Raises:
        WeightsError: the file cannot be read, or anything is missing, unexpected or of another shape.
        ConfigError: ``image_size`` makes no sense, or ``model`` cannot resize weights.
    """
    if not isinstance(weights, (str, Path, Mapping)):
        raise WeightsError(f"weights: must be a path, or arrays by name, not {type(weights).__name__}")
    if isinstance(weights, (str, Path)):
        origin, given = str(weights), read_weights(weights)
    else:
        origin, given = "weights", {name: np.asarray(array) for name, array in weights.items()}
    if image_size is not None:
        require_method(model, "adapt", "image_size")
    target = model.state_dict()
    arrays, others = select_submodel(given, submodel, target)
    match = best_match(model, arrays)
    match.dropped.extend(others)
    resized = _adapt(model, target, match, image_size) if adapt else []
    fresh: List[str] = []
    if drop_mismatched_head:
        fresh = _drop_head(match)
    require_match(model, origin, match, arrays)
    with paddle.no_grad():
        for name, array in match.arrays.items():
            target[name].set_value(paddle.to_tensor(array).astype(target[name].dtype))
    return LoadReport(match.source, tuple(match.arrays), tuple(match.dropped), tuple(fresh), tuple(resized))


def select_submodel(
    arrays: Mapping[str, np.ndarray], name: str, target: Mapping[str, object]
) -> Tuple[Mapping[str, np.ndarray], List[str]]:
    """Return the tensors of one model, where names begin with those of models: ``Student.``, ``Teacher.``.

    PaddleClas's ``DistillationModel`` is saved like this, and so are the models that ppcls trains beside another one.

    Args:
        arrays: of a file.
        name: of the model; the only one of a file is taken whatever it is called.
        target: the tensors to set, by name.

    Returns:
        The model's tensors without the prefix, and the names of all others. All of ``arrays`` if it is not such a file.
    """
    models = {key.partition(".")[0] for key in arrays}
    known = {key.partition(".")[0] for key in target}
    if models & known or not all(model[:1].isupper() for model in models) or any("." not in key for key in arrays):
        return arrays, []
    if name not in models and len(models) > 1:
        return arrays, []
    prefix = f"{name if name in models else next(iter(models))}."
    own = {key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)}
    return own, [key for key in arrays if not key.startswith(prefix)]


def best_match(model: nn.Layer, arrays: Mapping[str, np.ndarray]) -> WeightMatch:
    """Return how ``arrays`` fit ``model`` under the name scheme that leaves the fewest problems."""
    target = model.state_dict()
    return min(
        (_match(model, target, arrays, naming) for naming in name_schemes_of(model)),
        key=lambda match: len(match.missing) + len(match.unexpected) + len(match.misshaped) + len(match.ambiguous),
    )


def require_match(model: nn.Layer, origin: str, match: WeightMatch, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise WeightsError, listing everything that does not fit, unless all of it does."""
    problems = match.problems()
    if problems:
        raise WeightsError(
            "\n".join([_headline(model, origin, match, arrays), *problems, *_advice(model, match, arrays)])
        )


def linear_weight_names(model: nn.Layer) -> Set[str]:
    """Return the names of the linear layers' weights, which PyTorch keeps transposed."""
    return {f"{name}.weight" for name, layer in model.named_sublayers() if isinstance(layer, nn.Linear)}


def _match(
    model: nn.Layer, target: Mapping[str, paddle.Tensor], arrays: Mapping[str, np.ndarray], naming: NameScheme
) -> WeightMatch:
    match = WeightMatch(naming, {}, [], [], [], {})
    for name, array in arrays.items():
        model_name = naming.rename(name)
        if naming.drops(name):
            match.dropped.append(name)
        elif model_name is None or model_name not in target or model_name in match.arrays:
            match.unexpected.append(name)
        else:
            match.arrays[model_name] = array
    if naming.torch:
        _transpose_linear_weights(match, linear_weight_names(model), target, arrays)
    for name, tensor in target.items():
        if name not in match.arrays:
            match.missing.append(name)
            continue
        array = match.arrays[name]
        if array.dtype.kind != "f":
            match.misshaped[name] = f"holds {array.dtype}, not floating-point numbers"
        elif list(array.shape) != list(tensor.shape):
            match.misshaped[name] = f"{list(array.shape)} instead of {list(tensor.shape)}"
    return match


def _transpose_linear_weights(
    match: WeightMatch, names: Set[str], target: Mapping[str, paddle.Tensor], source: Mapping[str, np.ndarray]
) -> None:
    """Transpose linear weights from PyTorch's [out, in] to [in, out], where the file has PyTorch's layout.

    Paddle ports of PyTorch models use PyTorch's names with Paddle's layout. The weights that are not square tell which
    layout a file has; if there are none, the names of its batch norms do.
    """
    weights = {name: match.arrays[name] for name in names if name in match.arrays and match.arrays[name].ndim == 2}
    not_square = [name for name, array in weights.items() if array.shape[0] != array.shape[1]]
    as_torch = sum(list(weights[name].shape[::-1]) == list(target[name].shape) for name in not_square)
    as_paddle = sum(list(weights[name].shape) == list(target[name].shape) for name in not_square)
    if as_torch == as_paddle:
        as_torch = sum(name.endswith((".running_mean", ".running_var")) for name in source)
        as_paddle = sum(name.endswith(("._mean", "._variance")) for name in source)
    if as_torch == as_paddle and weights:
        match.ambiguous = sorted(weights)
        return
    match.transposed = as_torch >= as_paddle
    if match.transposed:
        match.arrays.update((name, array.T) for name, array in weights.items())


def _adapt(
    model: nn.Layer,
    target: Mapping[str, paddle.Tensor],
    match: WeightMatch,
    image_size: Union[int, Sequence[int], None],
) -> List[str]:
    """Let the model adapt tensors of ``match``, and return the names of those that it changed."""
    resized: List[str] = []
    if not hasattr(model, "adapt"):  # any layer can be loaded
        return resized
    for name, array in match.arrays.items():
        if array.dtype.kind != "f":
            continue
        array = array.astype(np.float32) if array.dtype == np.float16 else array
        adapted = model.adapt(name, array, image_size)
        if adapted is not array and list(adapted.shape) == list(target[name].shape):
            match.arrays[name] = adapted
            match.misshaped.pop(name, None)
            resized.append(name)
    return resized


def _in_head(name: str) -> bool:
    return name.split(".", 1)[0] == "head"


def _drop_head(match: WeightMatch) -> List[str]:
    """Take a head that does not fit out of ``match``; return the names that keep their initialisation."""
    unexpected = [name for name in match.unexpected if _in_head(match.naming.rename(name) or "")]
    match.unexpected = [name for name in match.unexpected if name not in unexpected]
    match.dropped.extend(unexpected)
    wrong = [name for name in (*match.misshaped, *match.missing) if _in_head(name)]
    if not wrong:
        return []
    # A weight without its bias is no classifier: the whole head goes.
    head = [name for name in match.arrays if _in_head(name)]
    for name in head:
        del match.arrays[name]
        match.misshaped.pop(name, None)
    match.dropped.extend(head)
    fresh = sorted({*head, *wrong})
    match.missing = [name for name in match.missing if name not in fresh]
    return fresh


def _headline(model: nn.Layer, origin: str, match: WeightMatch, arrays: Mapping[str, np.ndarray]) -> str:
    text = f"{origin}: does not fit {type(model).__name__}, nothing was loaded"
    detected = detect_architecture(arrays)
    return f"{text}; it looks like {detected}:" if detected else f"{text}:"


def _advice(model: nn.Layer, match: WeightMatch, arrays: Mapping[str, np.ndarray]) -> List[str]:
    wrong = [
        *match.ambiguous,
        *match.missing,
        *match.misshaped,
        *(match.naming.rename(name) or name for name in match.unexpected),
    ]
    if not all(_in_head(name) for name in wrong):
        return []
    biases = [array for name, array in arrays.items() if match.naming.rename(name) == "head.bias"]
    classifier = f"{biases[0].size} classes" if biases else "no classifier"
    return [
        f"Only the head differs: the weights have {classifier}, the model has class_num "
        f"{getattr(model, 'class_num', '?')}. To fine-tune, load with drop_mismatched_head=True, which keeps the "
        "freshly initialised head"
    ]


def _list_names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED
    return ", ".join(map(printable, names[:_MAX_LISTED])) + (f" and {more} more" if more > 0 else "")
