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
from ppcls.weights.names import namings_of
from ppcls.weights.naming import Naming
from ppcls.weights.reader import read_weights

_MAX_LISTED = 10


@dataclass(frozen=True)
class LoadReport:
    """What ``load_weights`` did.

    Attributes:
        naming: whose tensor names the source used ("ppcls", "timm", ...).
        loaded: our names of the tensors that were set.
        dropped: the source's names of the tensors that were left out.
        fresh: our names of the tensors that keep their initialisation.
        resized: our names of the tensors that came from another image size or number of channels.
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
class Fit:
    """How a source's tensors fit a model's."""

    naming: Naming
    arrays: Dict[str, np.ndarray]  # our name, our layout
    dropped: List[str]
    unexpected: List[str]
    missing: List[str]
    misshaped: Dict[str, str]  # our name, what is wrong
    transposed: bool = False  # the source's projections were [out, in]
    ambiguous: List[str] = field(default_factory=list)  # our names of projections that may be [in, out] or [out, in]

    @property
    def source(self) -> str:
        """Whose names the source uses, and in whose layout where that is not the same."""
        return self.naming.source + (", Paddle's layout," if self.naming.torch and not self.transposed else "")

    def problems(self) -> List[str]:
        """Return what is wrong, a line for each kind of problem."""
        found = []
        for kind, lines in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("mis-shaped", [f"{name} {problem}" for name, problem in self.misshaped.items()]),
            ("square, and nothing tells whether they are [in, out] or [out, in]", self.ambiguous),
        ):
            if lines:
                found.append(f"  {len(lines)} {kind}: {_list_names(lines)}")
        return found


def load_weights(
    model: nn.Layer,
    weights: Union[str, Path, Mapping[str, np.ndarray]],
    *,
    drop_mismatched_head: bool = False,
    adapt: bool = True,
    image_size: Union[int, Sequence[int], None] = None,
) -> LoadReport:
    """Set all weights of ``model``, or none of them.

    Args:
        model: any layer; ``ppcls.weights.names`` has the names that other implementations give the families' tensors.
        weights: a file (see ``read_weights``), or arrays by name.
        drop_mismatched_head: keep the classifier's initialisation if the source's has another number of classes, or
            if it has none.
        adapt: let the model make weights of another image size or number of channels fit (``Backbone.adapt``).
        image_size: that the weights were made for, one number or [height, width] in pixels; only gMLP's depend on it.
            By default as many patches as the model's mean the same image size, others a square one, or else one of the
            model's proportions.

    Raises:
        WeightsError: the file cannot be read, or anything is missing, unexpected or of another shape.
        ConfigError: ``image_size`` makes no sense, or ``model`` cannot resize weights.
    """
    if not isinstance(weights, (str, Path, Mapping)):
        raise WeightsError(f"weights: expected a path, or arrays by name, got {type(weights).__name__}")
    if isinstance(weights, (str, Path)):
        origin, arrays = str(weights), read_weights(weights)
    else:
        origin, arrays = "weights", {name: np.asarray(array) for name, array in weights.items()}
    if image_size is not None:
        require_method(model, "adapt", "image_size")
    target = model.state_dict()
    fit = best_fit(model, arrays)
    resized = _adapt(model, target, fit, image_size) if adapt else []
    fresh: List[str] = []
    if drop_mismatched_head:
        fresh = _drop_head(fit)
    require_fit(model, origin, fit, arrays)
    with paddle.no_grad():
        for name, array in fit.arrays.items():
            target[name].set_value(paddle.to_tensor(array).astype(target[name].dtype))
    return LoadReport(fit.source, tuple(fit.arrays), tuple(fit.dropped), tuple(fresh), tuple(resized))


def best_fit(model: nn.Layer, arrays: Mapping[str, np.ndarray]) -> Fit:
    """Return how ``arrays`` fit ``model`` under the naming that leaves the fewest problems."""
    target = model.state_dict()
    return min(
        (_fit(model, target, arrays, naming) for naming in namings_of(model)),
        key=lambda fit: len(fit.missing) + len(fit.unexpected) + len(fit.misshaped) + len(fit.ambiguous),
    )


def require_fit(model: nn.Layer, origin: str, fit: Fit, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise WeightsError with everything that does not fit, if anything does not."""
    problems = fit.problems()
    if problems:
        raise WeightsError("\n".join([_headline(model, origin, fit, arrays), *problems, *_advice(model, fit, arrays)]))


def projections(model: nn.Layer) -> Set[str]:
    """Return our names of the weights that PyTorch keeps transposed."""
    return {f"{name}.weight" for name, layer in model.named_sublayers() if isinstance(layer, nn.Linear)}


def _fit(model: nn.Layer, target: Mapping[str, paddle.Tensor], arrays: Mapping[str, np.ndarray], naming: Naming) -> Fit:
    fit = Fit(naming, {}, [], [], [], {})
    for name, array in arrays.items():
        ours = naming.rename(name)
        if naming.drops(name):
            fit.dropped.append(name)
        elif ours is None or ours not in target or ours in fit.arrays:
            fit.unexpected.append(name)
        else:
            fit.arrays[ours] = array
    if naming.torch:
        _transpose_projections(fit, projections(model), target, arrays)
    for ours, tensor in target.items():
        if ours not in fit.arrays:
            fit.missing.append(ours)
        elif fit.arrays[ours].dtype.kind != "f":
            fit.misshaped[ours] = f"holds {fit.arrays[ours].dtype}, not floating-point numbers"
        elif list(fit.arrays[ours].shape) != list(tensor.shape):
            fit.misshaped[ours] = f"{list(fit.arrays[ours].shape)} instead of {list(tensor.shape)}"
    return fit


def _transpose_projections(
    fit: Fit, names: Set[str], target: Mapping[str, paddle.Tensor], source: Mapping[str, np.ndarray]
) -> None:
    """Bring projections from PyTorch's [out, in] to [in, out]; Paddle ports of PyTorch models have them so already.

    Which of the two a file uses is told by its projections that are not square, else by its batch norms' names.
    """
    given = {name: fit.arrays[name] for name in names if name in fit.arrays and fit.arrays[name].ndim == 2}
    not_square = [name for name, array in given.items() if array.shape[0] != array.shape[1]]
    as_torch = sum(list(given[name].shape[::-1]) == list(target[name].shape) for name in not_square)
    as_paddle = sum(list(given[name].shape) == list(target[name].shape) for name in not_square)
    if as_torch == as_paddle:
        as_torch = sum(name.endswith((".running_mean", ".running_var")) for name in source)
        as_paddle = sum(name.endswith(("._mean", "._variance")) for name in source)
    if as_torch == as_paddle and given:
        fit.ambiguous = sorted(given)
        return
    fit.transposed = as_torch >= as_paddle
    if fit.transposed:
        fit.arrays.update((name, array.T) for name, array in given.items())


def _adapt(
    model: nn.Layer, target: Mapping[str, paddle.Tensor], fit: Fit, image_size: Union[int, Sequence[int], None]
) -> List[str]:
    """Let the model make tensors of ``fit`` fit, and return the names of those that it changed."""
    resized: List[str] = []
    if not hasattr(model, "adapt"):  # any layer can be loaded
        return resized
    for name, array in fit.arrays.items():
        if array.dtype.kind != "f":
            continue
        given = array.astype(np.float32) if array.dtype == np.float16 else array
        found = model.adapt(name, given, image_size)
        if found is not given and list(found.shape) == list(target[name].shape):
            fit.arrays[name] = found
            fit.misshaped.pop(name, None)
            resized.append(name)
    return resized


def _in_head(name: str) -> bool:
    return name.split(".", 1)[0] == "head"


def _drop_head(fit: Fit) -> List[str]:
    """Take a head that does not fit out of ``fit`` and return the names that stay fresh."""
    ours = [name for name in fit.unexpected if _in_head(fit.naming.rename(name) or "")]
    fit.unexpected = [name for name in fit.unexpected if name not in ours]
    fit.dropped.extend(ours)
    wrong = [name for name in (*fit.misshaped, *fit.missing) if _in_head(name)]
    if not wrong:
        return []
    # A weight without its bias is no classifier: the whole head goes.
    given = [name for name in fit.arrays if _in_head(name)]
    for name in given:
        del fit.arrays[name]
        fit.misshaped.pop(name, None)
    fit.dropped.extend(given)
    fresh = sorted({*given, *wrong})
    fit.missing = [name for name in fit.missing if name not in fresh]
    return fresh


def _headline(model: nn.Layer, origin: str, fit: Fit, arrays: Mapping[str, np.ndarray]) -> str:
    text = f"{origin}: does not fit {type(model).__name__}, nothing was loaded"
    detected = detect_architecture(arrays)
    return f"{text}; it looks like {detected}:" if detected else f"{text}:"


def _advice(model: nn.Layer, fit: Fit, arrays: Mapping[str, np.ndarray]) -> List[str]:
    wrong = [
        *fit.ambiguous,
        *fit.missing,
        *fit.misshaped,
        *(fit.naming.rename(name) or name for name in fit.unexpected),
    ]
    if not all(_in_head(name) for name in wrong):
        return []
    biases = [array for name, array in arrays.items() if fit.naming.rename(name) == "head.bias"]
    found = f"{biases[0].size} classes" if biases else "no classifier"
    return [
        f"Only the head differs: the weights have {found}, the model has class_num {getattr(model, 'class_num', '?')}. "
        "To fine-tune, load with drop_mismatched_head=True, which keeps the freshly initialised head"
    ]


def _list_names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED
    return ", ".join(map(printable, names[:_MAX_LISTED])) + (f" and {more} more" if more > 0 else "")
