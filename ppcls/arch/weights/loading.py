"""Arrays into a model: all or nothing, and a message that lists everything that does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import paddle
from paddle import nn

from ppcls.arch.weights.naming import Naming
from ppcls.arch.weights.reading import read_weights
from ppcls.errors import WeightsError

_SHOWN = 10


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
            text += f", left out {_some(self.dropped)}"
        if self.resized:
            text += f", resized {_some(self.resized)}"
        if self.fresh:
            text += f", freshly initialised: {_some(self.fresh)}"
        return text


@dataclass
class _Fit:
    """How a source's tensors fit a model's."""

    naming: Naming
    arrays: Dict[str, np.ndarray]  # our name, our layout
    dropped: List[str]
    unexpected: List[str]
    missing: List[str]
    misshaped: Dict[str, str]  # our name, what is wrong

    def faults(self) -> List[str]:
        found = []
        for kind, lines in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("mis-shaped", [f"{name} {fault}" for name, fault in self.misshaped.items()]),
        ):
            if lines:
                found.append(f"  {len(lines)} {kind}: {_some(lines)}")
        return found


def load_weights(
    model: nn.Layer,
    weights: Union[str, Path, Mapping[str, np.ndarray]],
    *,
    drop_mismatched_head: bool = False,
    adapt: bool = True,
) -> LoadReport:
    """Set all weights of ``model``, or none of them.

    Args:
        model: a backbone; its ``namings`` say which other implementations' names it understands.
        weights: a file (see ``read_weights``), or arrays by name.
        drop_mismatched_head: keep the classifier's initialisation if the source's has another number of classes, or
            if it has none.
        adapt: let the model make weights of another image size or number of channels fit (``Backbone.adapt``).

    Raises:
        WeightsError: the file cannot be read, or anything is missing, unexpected or of another shape.
    """
    if isinstance(weights, (str, Path)):
        origin, arrays = str(weights), read_weights(weights)
    else:
        origin, arrays = "weights", {name: np.asarray(array) for name, array in weights.items()}
    target = model.state_dict()
    fit = min(
        (_fit(model, target, arrays, naming) for naming in _namings(model)),
        key=lambda fit: len(fit.missing) + len(fit.unexpected) + len(fit.misshaped),
    )
    resized = _adapted(model, target, fit) if adapt else []
    fresh: List[str] = []
    if drop_mismatched_head:
        fresh = _without_head(fit)
    faults = fit.faults()
    if faults:
        raise WeightsError("\n".join([_headline(model, origin, fit, arrays), *faults, *_advice(model, fit, arrays)]))
    with paddle.no_grad():
        for name, array in fit.arrays.items():
            target[name].set_value(paddle.to_tensor(array).astype(target[name].dtype))
    return LoadReport(fit.naming.source, tuple(fit.arrays), tuple(fit.dropped), tuple(fresh), tuple(resized))


def _namings(model: nn.Layer) -> Sequence[Naming]:
    return getattr(model, "namings", ()) or (Naming("ppcls", rules=[(r".*", None)]),)


def _fit(
    model: nn.Layer, target: Mapping[str, paddle.Tensor], arrays: Mapping[str, np.ndarray], naming: Naming
) -> _Fit:
    projections = {f"{name}.weight" for name, layer in model.named_sublayers() if isinstance(layer, nn.Linear)}
    fit = _Fit(naming, {}, [], [], [], {})
    for name, array in arrays.items():
        ours = naming.rename(name)
        if naming.drops(name):
            fit.dropped.append(name)
        elif ours is None or ours not in target or ours in fit.arrays:
            fit.unexpected.append(name)
        else:
            fit.arrays[ours] = array.T if naming.torch and ours in projections and array.ndim == 2 else array
    for ours, tensor in target.items():
        if ours not in fit.arrays:
            fit.missing.append(ours)
        elif fit.arrays[ours].dtype.kind != "f":
            fit.misshaped[ours] = f"holds {fit.arrays[ours].dtype}, not floating-point numbers"
        elif list(fit.arrays[ours].shape) != list(tensor.shape):
            fit.misshaped[ours] = f"{list(fit.arrays[ours].shape)} instead of {list(tensor.shape)}"
    return fit


def _adapted(model: nn.Layer, target: Mapping[str, paddle.Tensor], fit: _Fit) -> List[str]:
    """Let the model make mis-shaped tensors of ``fit`` fit, and return the names of those it could."""
    resized: List[str] = []
    if not hasattr(model, "adapt"):  # any layer can be loaded
        return resized
    for name in [name for name in fit.misshaped if fit.arrays[name].dtype.kind == "f"]:
        array = model.adapt(name, fit.arrays[name].astype(np.float32))
        if list(array.shape) == list(target[name].shape):
            fit.arrays[name] = array
            del fit.misshaped[name]
            resized.append(name)
    return resized


def _in_head(name: str) -> bool:
    return name.split(".", 1)[0] == "head"


def _without_head(fit: _Fit) -> List[str]:
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


def _headline(model: nn.Layer, origin: str, fit: _Fit, arrays: Mapping[str, np.ndarray]) -> str:
    text = f"{origin}: does not fit {type(model).__name__}, nothing was loaded"
    guess = _guess(arrays)
    return f"{text}; it looks like {guess}:" if guess else f"{text}:"


def _advice(model: nn.Layer, fit: _Fit, arrays: Mapping[str, np.ndarray]) -> List[str]:
    wrong = [*fit.missing, *fit.misshaped, *(fit.naming.rename(name) or name for name in fit.unexpected)]
    if not all(_in_head(name) for name in wrong):
        return []
    biases = [array for name, array in arrays.items() if fit.naming.rename(name) == "head.bias"]
    found = f"{biases[0].size} classes" if biases else "no classifier"
    return [
        f"Only the head differs: the weights have {found}, the model has class_num {getattr(model, 'class_num', '?')}. "
        "To fine-tune, load with drop_mismatched_head=True, which keeps the freshly initialised head"
    ]


def _guess(arrays: Mapping[str, np.ndarray]) -> Optional[str]:
    """Return which variant or family the tensors' names and number of weights look like."""
    from ppcls.arch.registry import BACKBONES, list_models, spec  # the registry builds models with this module

    names = list(arrays)
    for family in (name for name in BACKBONES.names() if name not in list_models()):
        backbone: Any = BACKBONES[family].target
        for naming in backbone.namings:
            if naming.share(names) < 1.0:
                continue
            buffers = ("._mean", "._variance")
            ours = {naming.rename(name): array.size for name, array in arrays.items() if not naming.drops(name)}
            params = sum(size for name, size in ours.items() if not str(name).endswith(buffers))
            for variant in list_models():
                if spec(variant).family == family and spec(variant).params == params:
                    return f"{variant} ({naming.source} names)"
            return f"another {family} ({naming.source} names)"
    return None


def _some(lines: Sequence[str]) -> str:
    more = len(lines) - _SHOWN
    return ", ".join(lines[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
