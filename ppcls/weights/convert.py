"""Weights from any format and naming into any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

import numpy as np
from paddle import nn

from ppcls.errors import WeightsError
from ppcls.utils.paths import user_path
from ppcls.weights.detection import detect_architecture
from ppcls.weights.factory import create_model
from ppcls.weights.loading import Fit, best_fit, projections, require_fit
from ppcls.weights.names import namings_of
from ppcls.weights.naming import Naming
from ppcls.weights.reader import find_file, read_weights
from ppcls.weights.writer import format_of, write_weights

NAMINGS = ("official", "timm", "ppcls")


def convert_weights(
    source: Union[str, Path],
    target: Union[str, Path],
    *,
    to: Optional[str] = None,
    model: Optional[str] = None,
    naming: Optional[str] = None,
    arguments: Optional[Mapping[str, Any]] = None,
) -> Dict[str, Any]:
    """Write the weights in ``source`` to ``target``, in another format or under other names.

    The numbers stay as they are, except that half precision becomes float32.

    Args:
        source: any file that ``read_weights`` takes.
        to: "torch", "safetensors" or "pdparams"; by default what the target's suffix says.
        model: the architecture's name; by default it is detected, which works for the registered variants.
        naming: whose names and layout the target has: "official" (the reference implementation's; the default for
            "torch"), "timm", or "ppcls" (ours; the default for the other formats).
        arguments: of the architecture's constructor, where ``model`` is a family.

    Returns:
        What was done: source, target, format, naming, tensors (their number), left_out.

    Raises:
        WeightsError: a file cannot be read or written, or the weights are not all of one architecture's.
        ConfigError: no such architecture or argument.
    """
    file, target = find_file(source), user_path(target)
    to = to or format_of(target)
    arrays = read_weights(file)
    net = _build_model(file, arrays, model, dict(arguments or {}))
    fit = best_fit(net, arrays)
    require_fit(net, str(file), fit, arrays)
    target_naming = _find_naming(net, naming or ("official" if to == "torch" else "ppcls"))
    extra = {name: arrays[name] for name in fit.dropped} if target_naming == fit.naming else {}
    written = rename_tensors(net, fit, target_naming)
    written.update((name, array) for name, array in extra.items())
    write_weights(written, target, to)
    return {
        "source": str(file),
        "target": str(target),
        "format": to,
        "naming": {"from": fit.source, "to": target_naming.source},
        "tensors": len(written),
        "left_out": [name for name in fit.dropped if name not in extra],
    }


def rename_tensors(net: nn.Layer, fit: Fit, naming: Naming) -> Dict[str, np.ndarray]:
    """Return weights under another naming and in its layout, in the model's order.

    What PyTorch's state dicts hold besides, and strict loads ask for, is added (``Backbone.torch_buffers``).
    """
    names = naming.restore(list(net.state_dict()))
    transposed = projections(net) if naming.torch else set()
    found: Dict[str, np.ndarray] = {}
    for ours, theirs in names.items():
        found[theirs] = fit.arrays[ours].T if ours in transposed else fit.arrays[ours]
        if naming.torch:
            layer = theirs.rpartition(".")[0]
            found.update((f"{layer}.{leaf}", array) for leaf, array in net.torch_buffers(ours).items())
    return found


def _build_model(
    file: Path, arrays: Mapping[str, np.ndarray], name: Optional[str], arguments: Dict[str, Any]
) -> nn.Layer:
    detected = detect_architecture(arrays)
    if name is None and (detected is None or detected.variant is None):
        what = f"looks like {detected}, a size" if detected else "has names"
        raise WeightsError(f"{file}: {what} that no registered architecture has; name it with --model, and --argument")
    if detected is not None:
        arguments.setdefault("class_num", detected.class_num)
    return create_model(name or str(detected and detected.variant), **arguments)


def _find_naming(net: nn.Layer, name: str) -> Naming:
    if name not in NAMINGS:
        raise WeightsError(f"naming: expected one of {', '.join(NAMINGS)}, got {name!r}")
    if name == "official":
        candidates: List[Naming] = [naming for naming in namings_of(net) if naming.torch]
    elif name == "timm":
        candidates = [naming for naming in namings_of(net) if naming.source == "timm"]
    else:
        candidates = [naming for naming in namings_of(net) if not naming.torch]
    if not candidates:
        raise WeightsError(
            f"{type(net).__name__} has no {name} names; it has {', '.join(n.source for n in namings_of(net))}"
        )
    return candidates[0]


def parse_arguments(pairs: List[str]) -> Dict[str, Any]:
    """Return constructor arguments from KEY=VALUE texts; a value is JSON, or else a text.

    Raises:
        WeightsError: a text has no "=".
    """
    found: Dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise WeightsError(f"--argument {pair}: expected KEY=VALUE, such as dim=64")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
