"""The tensors of a file beside those of a model, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, Iterable, List, Mapping, Set

import numpy as np
import paddle
from paddle import nn

from ppcls.weights.name_scheme import NameScheme
from ppcls.weights.names import name_schemes_of
from ppcls.weights.wrappers import list_names


@dataclass
class WeightMatch:
    """How a source's tensors fit a model's."""

    naming: NameScheme
    arrays: Dict[str, np.ndarray]  # by name in the model, in the model's layout
    dropped: List[str]
    unexpected: List[str]
    missing: List[str]
    misshaped: Dict[str, str]  # name in the model: what is wrong
    mistyped: Dict[str, str] = field(default_factory=dict)  # name in the model: the type of its numbers
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
            (
                "of another type than floating-point numbers",
                [f"{name} holds {dtype}" for name, dtype in self.mistyped.items()],
            ),
            ("square, and nothing tells whether they are [in, out] or [out, in]", self.ambiguous),
        ):
            if lines:
                problems.append(f"  {len(lines)} {kind}: {list_names(lines)}")
        return problems


def fits_model(model: nn.Layer) -> Callable[[Iterable[str]], bool]:
    """Return a function that tells whether most of a model's tensors are among names from a file."""
    target = set(model.state_dict())

    def fits(names: Iterable[str]) -> bool:
        names = list(names)
        return any(
            len(target & {naming.rename(name) for name in names}) > len(target) / 2 for naming in name_schemes_of(model)
        )

    return fits


def best_match(model: nn.Layer, arrays: Mapping[str, np.ndarray]) -> WeightMatch:
    """Return how ``arrays`` fit ``model`` under the name scheme that leaves the fewest problems."""
    target = model.state_dict()
    return min(
        (_match(model, target, arrays, naming) for naming in name_schemes_of(model)),
        key=lambda match: sum(
            map(len, (match.missing, match.unexpected, match.misshaped, match.mistyped, match.ambiguous))
        ),
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
            match.mistyped[name] = str(array.dtype)
        if list(array.shape) != list(tensor.shape):
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
