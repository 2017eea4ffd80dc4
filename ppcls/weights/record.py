"""What is known of weights besides their numbers: the images and the classes that they are for.

Checkpoints of ours record it in a file beside the weights, safetensors files that ``ppcls convert`` wrote in their
header.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from ppcls.arch import BACKBONES
from ppcls.utils import json_text
from ppcls.utils.digests import sha256
from ppcls.utils.paths import add_suffix

# Of a checkpoint: its position and recipe, and the weights that belong to it.
_STATES = ".pdstates"
_WEIGHTS = ("_raw.pdparams", ".pdparams")  # the longer one first
_METADATA = "ppcls"  # the key in the header of a safetensors file
_LONGEST_HEADER = 1 << 26  # bytes


@dataclass(frozen=True)
class WeightsRecord:
    """What is recorded with weights.

    Attributes:
        image_size: [height, width] in pixels of the images that they are for; None if they fit any, or it is not known.
        class_names: by class id, for answers; None if not known.
        classes: what the class ids mean, as ``ppcls.data.datasets.Classes.to_json`` returns it; None if not known.
    """

    image_size: Optional[List[int]] = None
    class_names: Optional[List[str]] = None
    classes: Optional[Mapping[str, Any]] = None

    def to_metadata(self) -> Dict[str, str]:
        """Return it for the header of a safetensors file; nothing where nothing is known."""
        values = {key: value for key, value in vars(self).items() if value is not None}
        return {_METADATA: json_text.dumps(values)} if values else {}


def read_record(file: Path) -> WeightsRecord:
    """Return what is recorded with a weight file; nothing is known where there is no such record.

    A checkpoint's is not about weights that it was not written with.
    """
    suffix = next((suffix for suffix in _WEIGHTS if file.name.endswith(suffix)), None)
    if suffix is None:
        return _in_header(file)
    states = add_suffix(file.with_name(file.name[: -len(suffix)]), _STATES)
    try:
        values = json.loads(states.read_text(encoding="utf-8"))
        digest, size = values["files"][suffix], values.get("image_size") or _size_in_recipe(values["config"]["Arch"])
        record = _checked(size, values.get("class_names"), values.get("classes"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, damaged, or of another program
        return WeightsRecord()
    return record if digest == sha256(file) else WeightsRecord()


def _in_header(file: Path) -> WeightsRecord:
    """Return what ``to_metadata`` has put into the header of a safetensors file."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length)) if length <= _LONGEST_HEADER else {}
        values = json.loads(header["__metadata__"][_METADATA])
        return _checked(values.get("image_size"), values.get("class_names"), values.get("classes"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return WeightsRecord()


def _checked(size: Any, names: Any, classes: Any) -> WeightsRecord:
    size = [size, size] if isinstance(size, int) else size
    are_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return WeightsRecord(
        image_size=list(size) if _is_size(size) else None,
        class_names=names if are_names and names else None,
        classes=classes if isinstance(classes, dict) else None,
    )


def _size_in_recipe(arch: Mapping[str, Any]) -> Any:
    """Return the image size by which a recipe builds its model, for checkpoints of versions that did not record it."""
    if arch.get("image_size") is not None or arch["name"] not in BACKBONES:
        return arch.get("image_size")
    defaults = (item.default for item in BACKBONES[arch["name"]].parameters() if item.name == "image_size")
    return next(defaults, None)


def _is_size(size: Any) -> bool:
    return isinstance(size, (list, tuple)) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
