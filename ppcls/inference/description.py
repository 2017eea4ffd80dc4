"""``inference.yml``, the description of an exported model. ONNX files carry the same in their metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Tuple

import yaml

from ppcls.errors import ConfigError, DataError
from ppcls.inference import onnx_file
from ppcls.inference.postprocess import POSTPROCESSES, PostProcess
from ppcls.utils.digests import sha256

if TYPE_CHECKING:  # it needs OpenCV
    from ppcls.data.transforms import TransformOp

STEM = "inference"  # of the names of all files of an export
FILE = f"{STEM}.yml"
ONNX = f"{STEM}.onnx"  # the ONNX file with the same input as Paddle's model
_EXPORT_OF_RUN = f"inference/{FILE}"  # in a run's folder, written by `ppcls export RUN`
TENSOR, PIXELS = "float32 NCHW", "uint8 NHWC"
OUTPUT = "probabilities"
PRECISIONS = ("float32", "float16", "bfloat16", "int8")
_DAMAGED = (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True)
class Description:
    """How to feed an exported model and read its answers.

    Attributes:
        folder: that of the model's files.
        image_shape: of the images, (C, H, W), whatever the layout of the input.
        transform_ops: preprocessing, as in a recipe.
        postprocess: from probabilities to answers.
        files: digests by name.
        input: ``TENSOR``, or ``PIXELS`` for a model that normalizes them itself.
        imports: the files or modules that register the user's own transforms: name, path and digest.
        precision: "float32", "float16" or "int8"; for a folder that of Paddle's model, "float32" or "bfloat16".
        values: the whole content.
    """

    folder: Path
    name: str
    image_shape: Tuple[int, ...]
    transform_ops: List[TransformOp]
    postprocess: PostProcess
    files: Mapping[str, str]
    input: str
    precision: str
    imports: List[Mapping[str, Any]]
    values: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """What was opened: the folder, or its only file."""
        return self.folder / next(iter(self.files)) if len(self.files) == 1 else self.folder

    @property
    def class_names(self) -> Optional[List[str]]:
        """The names by class id; None where they are not known."""
        return None if self.postprocess.class_names is None else list(self.postprocess.class_names)

    @property
    def names_are_labels(self) -> bool:
        """Whether the classes have no names, and are called by their labels in the list of the training data."""
        labels = (self.values["Model"].get("classes") or {}).get("labels")
        return labels is not None and self.class_names == [str(label) for label in labels]

    @property
    def class_num(self) -> int:
        """The number of classes."""
        return int(self.values["Model"]["architecture"]["class_num"])

    @property
    def input_shape(self) -> Tuple[int, ...]:
        """The shape of one input without the batch axis."""
        channels, *size = self.image_shape
        return (*size, channels) if self.input == PIXELS else self.image_shape

    @property
    def paddle_files(self) -> Optional[Tuple[str, str]]:
        """The model and its parameters for Paddle Inference, if there are any."""
        names = sorted((n for n in self.files if not _is_onnx(n)), key=lambda n: n.endswith(".pdiparams"))
        return (names[0], names[1]) if names else None

    @property
    def onnx_file(self) -> Optional[str]:
        """The ONNX model, if there is one."""
        names = [name for name in self.files if _is_onnx(name)]
        return names[0] if len(names) == 1 else ONNX if ONNX in names else None

    @property
    def onnx_precision(self) -> str:
        """The precision of the ONNX model: that beside Paddle's files is in float32."""
        return "float32" if self.paddle_files else self.precision


def _is_onnx(name: str) -> bool:
    return name.lower().endswith(".onnx")


def is_export(path: Path) -> bool:
    """Return whether a path looks like an export, complete or not.

    ``inference.json`` alone does not count: it may hold results, in the folder of a run.
    """
    return _is_onnx(path.name) or any((path / name).is_file() for name in (FILE, ONNX, f"{STEM}.pdiparams"))


def read(path: Path) -> Description:
    """Read the description of an export: a folder, or one of its ONNX files.

    Raises:
        DataError: there is no export, or its description is damaged.
    """
    if path.is_file():
        return _read_file(path)
    file = path / FILE
    if not file.is_file():
        missing = f"{FILE} is missing: not a folder written by an export{_hint(path)}"
        what = missing if path.is_dir() else "no such folder or file"
        raise DataError(f"{path}: {what}")
    return _checked(path, _load(file), file)


def _hint(folder: Path) -> str:
    """Return advice for the folder of a run, perhaps with stages; else an empty string."""
    exports = [
        str(file.parent) for pattern in (_EXPORT_OF_RUN, f"*/{_EXPORT_OF_RUN}") for file in sorted(folder.glob(pattern))
    ]
    if exports:
        return f"; did you mean {' or '.join(exports)}?"
    is_run = any(next(folder.glob(pattern), None) for pattern in ("*.pdstates", "*/*.pdstates"))
    return f", but by training; export it first: ppcls export {folder}" if is_run else ""


def _read_file(path: Path) -> Description:
    """Read the description in an ONNX file, else the one beside it that lists the file."""
    if not _is_onnx(path.name):
        raise DataError(f"{path}: not an exported model; give the folder that has {FILE} in it, or an .onnx file")
    content = onnx_file.read_metadata(path).get(onnx_file.DESCRIPTION)
    beside = path.parent / FILE
    if content is None and beside.is_file():
        described = read(path.parent)
        if path.name in described.files:
            return _of_one_file(described, path.name)
    if content is None:
        raise DataError(
            f"{path}: no description in its metadata ({onnx_file.DESCRIPTION!r}) and no {FILE} beside it that lists "
            f"it: preprocessing and classes are unknown. Export with `ppcls export --onnx`, which writes them"
        )
    try:
        values = json.loads(content)
        values["Model"]["files"] = {path.name: sha256(path)}
    except _DAMAGED as error:
        raise DataError(f"{path}: damaged description ({type(error).__name__}: {error}); export again") from None
    return _checked(path.parent, values, path)


def _of_one_file(described: Description, name: str) -> Description:
    """Return the description of a single file of an export."""
    model = {**described.values["Model"], "files": {name: described.files[name]}}
    return _checked(described.folder, {**described.values, "Model": model}, described.folder / FILE)


def _load(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except _DAMAGED as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> DataError:
    return DataError(f"{file}: damaged ({type(error).__name__}: {error}); export the model again")


def _checked(folder: Path, values: Any, file: Path) -> Description:
    """Return the description, its values checked.

    Raises:
        DataError: a value is missing, or not what ``write`` writes.
    """
    try:
        model = values["Model"]
        files, ops = dict(model["files"]), values["PreProcess"]["transform_ops"]
        classes = model["architecture"]["class_num"]
        taken, precision = model.get("input", TENSOR), model.get("precision", "float32")
        shape = values["Global"]["image_shape"]
        if not _is_count(classes):
            raise ValueError(f"class_num: a whole number of at least 1 expected, not {classes!r}")
        if not isinstance(shape, list) or len(shape) != 3 or not all(map(_is_count, shape)):
            raise ValueError(f"image_shape: channels, height and width expected, not {shape!r}")
        if not ops:
            raise ValueError("transform_ops: there are none")
        _check_files(files)
        _check_classes(model.get("classes"), classes)
        for key, value, known in (
            ("input", taken, (TENSOR, PIXELS)),
            ("precision", precision, PRECISIONS),
            ("output", model.get("output", OUTPUT), (OUTPUT,)),
        ):
            if value not in known:
                raise ValueError(f"{key}: {value!r} is not one of {', '.join(map(repr, known))}")
        return Description(
            folder=folder,
            name=str(values["Global"]["model_name"]),
            image_shape=tuple(shape),
            transform_ops=[dict(op) for op in ops],
            postprocess=_postprocess(file, values["PostProcess"], classes),
            files=files,
            input=taken,
            precision=precision,
            imports=_checked_imports(values["PreProcess"].get("imports", [])),
            values=values,
        )
    except _DAMAGED as error:
        raise _damaged(file, error) from None


def _postprocess(file: Path, section: Any, classes: int) -> PostProcess:
    """Return what makes answers; raise a ValueError if it is damaged.

    Raises:
        DataError: other people's code makes them, which is not imported.
    """
    if not isinstance(section, dict) or len(section) != 1:
        raise ValueError(f"PostProcess: one post-processing and its arguments expected, not {section!r}"[:200])
    ((name, values),) = section.items()
    arguments = dict(values)
    names = arguments.pop("label_list", None)
    _check_names(names, classes)
    if name not in POSTPROCESSES:
        raise DataError(f"{file}: PostProcess: {POSTPROCESSES.unknown(name)}")
    class_names = None if names is None else [str(name) for name in names]
    try:
        built: PostProcess = POSTPROCESSES.build(name, arguments, class_num=classes, class_names=class_names)
    except ConfigError as error:
        raise ValueError(f"PostProcess: {error}") from None
    return built


def _checked_imports(records: Any) -> List[Mapping[str, Any]]:
    """Return the records of imports; raise a ValueError for anything else."""
    if not isinstance(records, list) or not all(isinstance(item, dict) and "name" in item for item in records):
        raise ValueError(f"imports: a list of {{name, path, sha256}} expected, not {records!r}"[:200])
    return records


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_names(names: Any, classes: int) -> None:
    """Raise a ValueError unless there is one name per class, or no names."""
    if names is None:
        return
    # Classes may be called 0, 1, 2, which YAML reads as numbers. Unquoted yes and no are truth values, and no names.
    if not isinstance(names, list) or any(type(name) not in (str, int, float) for name in names):
        raise ValueError(f"label_list: a list of names expected, not {names!r}"[:200])
    if len(names) != classes:
        raise ValueError(f"label_list has {len(names)} names for {classes} classes")


def _check_classes(saved: Any, classes: int) -> None:
    """Raise a ValueError unless this says what each class id means in the training data, or nothing."""
    if saved is None:
        return
    names, labels = saved["names"], saved["labels"]
    if names is not None and len(names) != classes:
        raise ValueError(f"classes: {len(names)} names for {classes} classes")
    if labels is not None and (len(labels) != len(set(labels)) or len(labels) > classes):
        raise ValueError(f"classes: labels of {classes} classes expected, not {labels!r}"[:200])


def _check_files(files: Mapping[str, str]) -> None:
    """Raise a ValueError unless these are a model of Paddle's, of ONNX, or both."""
    paddle_files = [name for name in files if not _is_onnx(name)]
    is_pair = sorted(name.endswith(".pdiparams") for name in paddle_files) == [False, True]
    if not files or (paddle_files and not is_pair):
        raise ValueError(f"files: a model and its .pdiparams, or .onnx files expected, not {sorted(files)}")


def write(folder: Path, values: Mapping[str, Any]) -> None:
    """Write the description of an export; ``read`` says which keys it needs."""
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=120)
    (folder / FILE).write_text(text, encoding="utf-8")
