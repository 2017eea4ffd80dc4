"""The number of classes of weights, from their classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Optional, Tuple

from ppcls.arch import BACKBONES
from ppcls.weights.name_scheme import NameScheme
from ppcls.weights.names import name_schemes_of_class
from ppcls.weights.reader import read_selection
from ppcls.weights.wrappers import STUDENT, Wanted

_BIAS = "head.bias"


def class_num_in_file(path: Path, name: str, key: Optional[str] = None, submodel: str = STUDENT) -> Optional[int]:
    """Return the number of classes of the weights in a file; None where they have no classifier.

    Args:
        path: see ``read_weights``.
        name: of the architecture.
        key: of the weights to take, as for ``load_weights``; ``submodel`` likewise.

    Raises:
        WeightsError: the file cannot be read.
    """
    target = BACKBONES[name].target
    schemes = name_schemes_of_class(target if isinstance(target, type) else object)

    def fits(names: Iterable[str]) -> bool:
        names = list(names)
        return max(scheme.coverage(names) for scheme in schemes) > 0.5

    # Layers of no family may have any names: what is before them is no prefix of theirs as far as that is known.
    is_known = isinstance(target, type) and len(schemes) > 1
    arrays = read_selection(path, key, Wanted(fits if is_known else None, submodel)).arrays
    for scheme in _best_first(schemes, arrays):
        for tensor, array in arrays.items():
            if scheme.rename(tensor) == _BIAS and array.ndim == 1 and array.size:
                return int(array.size)
    return None


def _best_first(schemes: Tuple[NameScheme, ...], names: Iterable[str]) -> Iterable[NameScheme]:
    return sorted(schemes, key=lambda scheme: -scheme.coverage(list(names)))
