"""Read what ``paddle.save`` wrote without running what it contains: ``paddle.load`` is an unrestricted unpickler."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Union

import numpy as np

from ppcls.errors import WeightsError
from ppcls.utils.unpickling import NUMPY, ArrayStandIn, Name
from ppcls.weights.file_errors import file_errors
from ppcls.weights.placeholders import SETTINGS, Placeholder, PlaceholderUnpickler

# Paddle's way to say that protocols 2 and 3 cannot hold a tensor above 1 GiB.
_SPLIT = "UnpackBigParamInfor@@"
# What paddle.save 2.6 and 3.x write, and the settings that people keep beside the weights.
_ALLOWED: Mapping[Name, Any] = {**SETTINGS, **NUMPY, ("collections", "OrderedDict"): OrderedDict}
_PLAIN = (bool, int, float, complex, str, bytes, np.generic)


def restricted_load(path: Union[str, Path]) -> Dict[str, Any]:
    """Read a file that ``paddle.save`` wrote: a dict, possibly nested, of arrays, numbers and strings.

    Tensors inside come back as arrays; bfloat16 ones as uint16, as they are stored. Other objects, such as an
    ``argparse.Namespace`` of settings, come back as placeholders.

    Raises:
        WeightsError: the file is missing, damaged, no such dict, or asks to run anything.
    """
    path = Path(path)
    with file_errors(path, "paddle.save"), path.open("rb") as file:
        content = _with_arrays(PlaceholderUnpickler(file, _ALLOWED).load())
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a dict of arrays, found {type(content).__name__}")
    if _SPLIT in content:
        raise WeightsError(f"{path}: holds tensors above 1 GiB in pieces; save it again with protocol=4")
    return content


def _with_arrays(value: Any, known: Optional[Dict[int, Any]] = None) -> Any:
    """Return ``value`` with arrays in place of their stand-ins.

    What occurs several times is made once: a small file can hold a list of lists of lists ... that would fill memory.
    """
    known = {} if known is None else known
    if id(value) in known:
        return known[id(value)]
    result = value
    if isinstance(value, dict):
        result = {key: _with_arrays(item, known) for key, item in value.items()}
    elif isinstance(value, list):
        result = [_with_arrays(item, known) for item in value]
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and _is_array(value[1]):
        result = value[1].value  # a tensor: (name, array)
    elif isinstance(value, tuple):
        result = tuple(_with_arrays(item, known) for item in value)
    elif _is_array(value):
        result = value.value
    elif value is not None and not isinstance(value, (*_PLAIN, Placeholder)):
        result = Placeholder()
    known[id(value)] = result
    return result


def _is_array(value: Any) -> bool:
    return isinstance(value, ArrayStandIn)
