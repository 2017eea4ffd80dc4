"""``deploy/python/predict_cls.py``: prediction with an exported model as PaddleClas's script of this name does it."""

from __future__ import annotations

import argparse
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

from ppcls.commands.command import Command, changes
from ppcls.errors import ConfigError, DataError
from ppcls.utils import environment, imagenet
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

_WORDNET_ID = re.compile(r"n\d{8}")
_NAME_KEYS: Mapping[str, type] = {"class_id_map_file": str, "delimiter": str, "label_list": list}
_TOLERANCE = 1e-3  # of a normalized pixel; 0.00392157 in place of 1/255 is far below


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", metavar="FILE", type=Path, required=True, help="recipe, see deploy/configs")
    override_help = "change of the recipe, such as Global.infer_imgs=photos"
    parser.add_argument(
        "-o", "--override", metavar="KEY=VALUE", action="append", nargs="+", default=[], help=override_help
    )


def _run(options: argparse.Namespace) -> int:
    environment.prepare()  # before numpy is imported
    from ppcls.config.deployment import load_deployment
    from ppcls.inference import Predictor, inputs

    recipe = load_deployment(options.config, changes(options))
    settings, copies = recipe.Global, recipe.PostProcess.SavePreLabel
    sources = inputs.collect(settings.infer_imgs)
    predictor = Predictor(
        settings.inference_model_dir,
        backend={True: "onnx", False: "paddle", None: "auto"}[settings.use_onnx],
        threads=settings.cpu_num_threads,
        batch_size=settings.batch_size,
        device="gpu" if settings.use_gpu else "cpu",
    )
    if recipe.PreProcess is not None:
        _compare_preprocessing(recipe.PreProcess.transform_ops, predictor)
    postprocess = _postprocess(recipe.PostProcess.components, predictor.description)
    if copies is not None and postprocess.is_multilabel:
        raise ConfigError("PostProcess.SavePreLabel: an image of this model may have several classes; remove it")
    pipeline = replace(predictor.pipeline, postprocess=postprocess)
    broken = 0
    for answer in pipeline.answers(sources):
        if "error" in answer:
            broken += 1
            get_logger().error("%s: %s", answer["file_name"], answer["error"])
            continue
        print(_format(answer, predictor.description.class_num), flush=True)
        if copies is not None:
            _copy(answer, user_path(copies.save_dir))
    return 2 if broken else 0


def _format(answer: Mapping[str, Any], class_num: int) -> str:
    """Return an answer as PaddleClas prints it."""
    name, class_ids = Path(answer["file_name"]).name, answer["class_ids"]
    if "attributes" in answer:
        output = [int(index in class_ids) for index in range(class_num)]
        return f"{name}:\t {{'attributes': {answer['attributes']}, 'output': {output}}}"
    scores = ", ".join(f"{score:.2f}" for score in answer["scores"])
    return f"{name}:\tclass id(s): {class_ids}, score(s): [{scores}], label_name(s): {answer['label_names']}"


def _copy(answer: Mapping[str, Any], folder: Path) -> None:
    """Copy an image into the subfolder of its class."""
    image, target = Path(answer["file_name"]), folder / str(answer["class_ids"][0])
    if not image.is_file():
        raise ConfigError(f"PostProcess.SavePreLabel: {image} is not a file, and cannot be copied; remove SavePreLabel")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(image, target)


def _compare_preprocessing(ops: Sequence[Mapping[str, Any]], predictor: Any) -> None:
    """Warn if a recipe's preprocessing makes other images than that of the export, which is used.

    Raises:
        ConfigError: it has a mistake.
    """
    import numpy as np

    from ppcls.data.transforms import build_transforms

    try:
        transforms = build_transforms([op for op in ops if "DecodeImage" not in op])
    except ConfigError as error:
        raise ConfigError(f"PreProcess.transform_ops: {error}") from None
    image = np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8)
    theirs, ours = (
        np.asarray(run(image, np.random.default_rng(0))) for run in (transforms, predictor.pipeline.transforms)
    )
    if theirs.shape == ours.shape and np.allclose(theirs, ours, rtol=0, atol=_TOLERANCE):
        return
    what = (
        f"images of {list(theirs.shape)}, not {list(ours.shape)}"
        if theirs.shape != ours.shape
        else f"pixels that differ by up to {np.abs(theirs - ours).max():.3g}"
    )
    get_logger().warning(
        "PreProcess is not what %s was exported with: it makes %s. The preprocessing in the export is used; remove "
        "PreProcess, or export the model with other Infer.transforms",
        *(predictor.description.path, what),
    )


def _postprocess(components: Mapping[str, Any], description: Any) -> Any:
    """Return the post-processing of the recipe, with the class names; that of the export if the recipe has none.

    Raises:
        ConfigError: it is unknown, has a mistake, or is for another kind of model.
    """
    from ppcls.inference.postprocess import POSTPROCESSES

    exported = description.postprocess
    if not components:
        return exported
    ((name, arguments),) = components.items()
    if name not in POSTPROCESSES:
        raise ConfigError(f"PostProcess: {POSTPROCESSES.unknown(name)}")
    arguments = dict(arguments or {})
    for key, expected in _NAME_KEYS.items():
        if not isinstance(arguments.get(key), (expected, type(None))):
            what = "a list" if expected is list else "text"
            raise ConfigError(f"PostProcess.{name}.{key}: must be {what}, not {arguments[key]!r}")
    file, delimiter, listed = (arguments.pop(key, None) for key in _NAME_KEYS)
    where = f"PostProcess.{name}." + ("label_list" if file is None else f"class_id_map_file={file}")
    given = _names_in_file(file, delimiter, where) if file is not None else listed and list(map(str, listed))
    names = _class_names(given, where, description)
    try:
        built = POSTPROCESSES.build(name, arguments, class_num=description.class_num, class_names=names)
    except ConfigError as error:
        raise ConfigError(f"PostProcess: {error}") from None
    if built.activation != exported.activation:
        kind = "any number of classes" if exported.is_multilabel else "one class"
        raise ConfigError(
            f"PostProcess.{name}: an image has {kind} in {description.path}, which was exported with "
            f"{type(exported).__name__}; remove {name}"
        )
    return built


def _names_in_file(given: str, delimiter: Optional[str], where: str) -> Optional[List[str]]:
    """Return the names in a file, or None, with a warning; ImageNet's list need not be there."""
    from ppcls.data.datasets.names import read_class_names

    file = user_path(given)
    if not file.exists() and file.name == imagenet.LABEL_LIST.name:
        file, delimiter = imagenet.LABEL_LIST, None
    try:
        return read_class_names(file, delimiter)
    except DataError as error:
        get_logger().warning("%s: %s; going on without it", where, error)
        return None


def _class_names(given: Optional[List[str]], where: str, description: Any) -> Optional[List[str]]:
    """Return the names in an answer: those of the export, else those given if there is one for each class.

    Exports of models that were trained on ImageNet's folders have their names, ``n01440764``. These are replaced.
    """
    from ppcls.data.datasets.names import read_class_names

    exported: Optional[List[str]] = description.class_names
    if given is None:
        return exported
    if len(given) != description.class_num:
        get_logger().warning(
            "%s: %d names for %d classes; going on without it", where, len(given), description.class_num
        )
        return exported
    if exported is None or given == exported:
        return given
    if all(map(_WORDNET_ID.fullmatch, exported)) and given == read_class_names(imagenet.LABEL_LIST):
        return given
    get_logger().warning("%s: not the names that the model was trained with; answering with those", where)
    return exported


COMMAND = Command("predict_cls", "predict images with an exported model", _add_options, _run)
