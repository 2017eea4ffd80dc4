"""``inference.yml``: what an exported model needs to know about itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Optional, Tuple

import yaml

from ppcls.errors import DataError

FILE = "inference.yml"


@dataclass(frozen=True)
class Description:
    """How to feed an exported model and read its answers.

    Attributes:
        folder: where the model's files are.
        image_shape: its input, (C, H, W).
        transform_ops: preprocessing, as in a recipe.
    """

    folder: Path
    name: str
    image_shape: Tuple[int, ...]
    transform_ops: List[Mapping[str, Any]]
    topk: int
    class_names: Optional[List[str]]
    files: Mapping[str, str]


def read(folder: Path) -> Description:
    """Read the description in an export's folder.

    Raises:
        DataError: the folder holds no export, or its description is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        what = "no such folder" if not folder.is_dir() else f"{FILE} is missing: not a folder written by an export"
        raise DataError(f"{folder}: {what}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _checked(folder, values)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({type(error).__name__}: {error}); export the model again") from None


def _checked(folder: Path, values: Any) -> Description:
    """Return the description, with every value of the type that its users rely on.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is not what ``write`` wrote.
    """
    postprocess, files = values["PostProcess"]["Topk"], dict(values["Model"]["files"])
    names = postprocess.get("label_list")
    classes = values["Model"]["architecture"]["class_num"]
    if names is not None and len(names) != classes:
        raise ValueError(f"label_list has {len(names)} names for {classes} classes")
    if sorted(name.endswith(".pdiparams") for name in files) != [False, True]:
        raise ValueError(f"files: a model and its .pdiparams expected, not {sorted(files)}")
    return Description(
        folder=folder,
        name=str(values["Global"]["model_name"]),
        image_shape=tuple(int(size) for size in values["Global"]["image_shape"]),
        transform_ops=[dict(op) for op in values["PreProcess"]["transform_ops"]],
        topk=int(postprocess["topk"]),
        class_names=None if names is None else [str(name) for name in names],
        files=files,
    )


def write(folder: Path, values: Mapping[str, Any]) -> None:
    """Write the description of an export; ``read`` says which keys it needs."""
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=120)
    (folder / FILE).write_text(text, encoding="utf-8")
