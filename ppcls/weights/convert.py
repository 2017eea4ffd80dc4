"""Weights from any format and naming into any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np
from paddle import nn

from ppcls.arch import BACKBONES
from ppcls.errors import WeightsError
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path
from ppcls.weights.detection import detect_architecture
from ppcls.weights.factory import create_model
from ppcls.weights.image_size import image_size_of, source_size
from ppcls.weights.loading import adapt_weights, require_match, require_sized_weights
from ppcls.weights.matching import WeightMatch, best_match, fits_model, linear_weight_names
from ppcls.weights.name_scheme import NameScheme
from ppcls.weights.names import name_schemes_of
from ppcls.weights.reader import find_file, read_selection
from ppcls.weights.record import WeightsRecord, read_record
from ppcls.weights.wording import NAME_MODEL
from ppcls.weights.wrappers import Wanted
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
    key: Optional[str] = None,
    image_size: Union[int, Sequence[int], None] = None,
) -> Dict[str, Any]:
    """Write the weights in ``source`` to ``target``, in another format or under other names.

    The numbers stay as they are, except that half precision becomes float32, and that weights for another image size
    than the model's (gMLP's argument ``image_size``) are resized.

    Args:
        source: any file that ``read_weights`` takes.
        to: "torch", "safetensors" or "pdparams"; by default what the target's suffix says.
        model: the architecture's name; by default it is detected, which works for the registered variants.
        naming: names and layout of the target: "official" for those of the reference implementation (the default for
            "torch"), "timm", or "ppcls" (the default for the other formats).
        arguments: of the architecture's constructor, where ``model`` is a family.
        key: which weights of ``source``, as for ``load_weights``.
        image_size: of the images that the weights were made for, as for ``load_weights``.

    safetensors files keep the image size and the names of the classes, where the source records them. The other formats
    have no place for them; the log says so.

    Returns:
        A summary with the keys source, target, format, naming, tensors (their number), left_out and recorded (whether
        what is known of images and classes is in the file); also, of gMLP, image_size, [height, width], and, if they
        were resized, resized; and classes, the number of those whose names are known.

    Raises:
        WeightsError: a file cannot be read or written, or the weights do not fit the architecture.
        ConfigError: no such architecture or argument, or weights that fit any size were given one.
    """
    file, target = find_file(source), user_path(target)
    to = to or format_of(target)
    read = read_selection(file, key)
    known = read_record(file)
    recorded = known.image_size
    net = _build_model(file, read.arrays, model, dict(arguments or {}), image_size or recorded)
    fits = fits_model(net)
    if not fits(read.arrays):  # of an architecture that has parts called as common prefixes are
        read = read_selection(file, key, Wanted(fits))
    read.log()
    arrays = read.arrays
    match = best_match(net, arrays)
    if image_size is not None:
        require_sized_weights(net)
    size = source_size(net, match.arrays, image_size, recorded, str(file))
    resized = adapt_weights(net, net.state_dict(), match, size) if size.note else []
    require_match(net, str(file), match, arrays, read.selection, size)
    if size.assumption:
        get_logger().warning("%s", size.assumption)
    target_naming = _find_name_scheme(net, naming or ("official" if to == "torch" else "ppcls"))
    extra = {name: arrays[name] for name in match.dropped} if target_naming == match.naming else {}
    written = rename_tensors(net, match, target_naming)
    written.update((name, array) for name, array in extra.items())
    record = _record_of(net, known)
    kept = write_weights(written, target, to, record)
    return {
        "source": str(file),
        "target": str(target),
        "format": to,
        "naming": {"from": match.source, "to": target_naming.source},
        "tensors": len(written),
        "left_out": [*read.selection.copy.left_out, *(name for name in match.dropped if name not in extra)],
        **({} if image_size_of(net) is None else {"image_size": image_size_of(net)}),
        **({} if record.class_names is None else {"classes": len(record.class_names)}),
        **({"recorded": kept} if record != WeightsRecord() else {}),
        **({"resized": size.note} if resized else {}),
    }


def _record_of(net: nn.Layer, source: WeightsRecord) -> WeightsRecord:
    """Return what to record with the weights of a model, as far as the source's record is about its classifier."""
    names = source.class_names if len(source.class_names or ()) == getattr(net, "class_num", None) else None
    return WeightsRecord(image_size_of(net), names, source.classes if names is not None else None)


def rename_tensors(net: nn.Layer, match: WeightMatch, naming: NameScheme) -> Dict[str, np.ndarray]:
    """Return weights under the names and in the layout of another scheme, in the model's order.

    The buffers that strict loads of PyTorch expect are added.
    """
    names = naming.restore(list(net.state_dict()))
    transposed = linear_weight_names(net) if naming.torch else set()
    tensors: Dict[str, np.ndarray] = {}
    for name, target_name in names.items():
        tensors[target_name] = match.arrays[name].T if name in transposed else match.arrays[name]
        layer = target_name.rpartition(".")[0]
        tensors.update((f"{layer}.{leaf}", array) for leaf, array in naming.buffers_beside(net, name).items())
    return tensors


def _build_model(
    file: Path,
    arrays: Mapping[str, np.ndarray],
    name: Optional[str],
    arguments: Dict[str, Any],
    image_size: Union[int, Sequence[int], None],
) -> nn.Layer:
    detected = detect_architecture(arrays)
    if name is None and (detected is None or detected.variant is None):
        what = f"looks like {detected}, in a size" if detected else "has tensor names"
        raise WeightsError(f"{file}: {what} that no registered architecture has; {NAME_MODEL}")
    if detected is not None:
        arguments.setdefault("class_num", detected.class_num)
    name = name or str(detected and detected.variant)
    if image_size is not None and name in BACKBONES and BACKBONES[name].takes("image_size"):
        arguments.setdefault("image_size", image_size)
    return create_model(name, **arguments)


def _find_name_scheme(net: nn.Layer, name: str) -> NameScheme:
    if name not in NAMINGS:
        raise WeightsError(f"naming: must be one of {', '.join(NAMINGS)}, not {name!r}")
    if name == "official":
        candidates: List[NameScheme] = [scheme for scheme in name_schemes_of(net) if scheme.torch]
    elif name == "timm":
        candidates = [scheme for scheme in name_schemes_of(net) if scheme.source == "timm"]
    else:
        candidates = [scheme for scheme in name_schemes_of(net) if not scheme.torch]
    if not candidates:
        available = ", ".join(scheme.source for scheme in name_schemes_of(net))
        raise WeightsError(f"{type(net).__name__} has no {name} names; it has {available}")
    return candidates[0]


def parse_arguments(pairs: List[str]) -> Dict[str, Any]:
    """Return constructor arguments from KEY=VALUE texts; a value that is not JSON is text.

    Raises:
        WeightsError: a pair has no "=".
    """
    arguments: Dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise WeightsError(f"--argument {pair}: must be KEY=VALUE, such as dim=64")
        try:
            arguments[key] = json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments
