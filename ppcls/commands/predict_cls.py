"""``deploy/python/predict_cls.py``: prediction with an exported model as PaddleClas's script of this name does it."""

from __future__ import annotations

import argparse
import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence, Set, Union

from ppcls.commands.command import Command, changes
from ppcls.errors import ConfigError, DataError
from ppcls.utils import environment
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

if TYPE_CHECKING:
    from ppcls.config.deployment import Deployment

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
    try:
        sources = inputs.collect(settings.infer_imgs)
    except DataError as error:
        raise DataError(f"{recipe.locate('Global', 'infer_imgs')}: {error}") from None
    predictor = Predictor(
        settings.inference_model_dir,
        backend={True: "onnx", False: "paddle", None: "auto"}[settings.use_onnx],
        threads=settings.cpu_num_threads,
        batch_size=settings.batch_size,
        device="gpu" if settings.use_gpu else "cpu",
    )
    if recipe.PreProcess is not None:
        _compare_preprocessing(recipe, predictor)
    postprocess = _postprocess(recipe, predictor.description)
    pipeline = replace(predictor.pipeline, postprocess=postprocess)
    copier = None if copies is None else _Copier(user_path(copies.save_dir), user_path(settings.infer_imgs))
    broken = 0
    for answer in pipeline.answers(sources):
        if "error" in answer:
            broken += 1
            get_logger().error("%s: %s", answer["file_name"], answer["error"])
            continue
        print(_format(answer, predictor.description.class_num), flush=True)
        if copier is not None:
            try:
                copier.copy(Path(answer["file_name"]), answer["class_ids"])
            except ConfigError as error:
                raise ConfigError(f"{recipe.locate('PostProcess', 'SavePreLabel')}: {error}") from None
    return 2 if broken else 0


def _format(answer: Mapping[str, Any], class_num: int) -> str:
    """Return an answer as PaddleClas prints it."""
    name, class_ids = Path(answer["file_name"]).name, answer["class_ids"]
    if "attributes" in answer:
        output = [int(index in class_ids) for index in range(class_num)]
        return f"{name}:\t {{'attributes': {_attributes(answer['attributes'])!r}, 'output': {output}}}"
    scores = ", ".join(f"{score:.2f}" for score in answer["scores"])
    return f"{name}:\tclass id(s): {class_ids}, score(s): [{scores}], label_name(s): {answer['label_names']}"


def _attributes(words: Sequence[str]) -> Union[str, List[str]]:
    """Return the words of an answer as PaddleClas has them: "Lower:" has two blanks, vehicles are one text."""
    if words and words[0].startswith("Color"):
        return ", ".join(words)
    return [word.replace("Lower: ", "Lower:  ", 1) if word.startswith("Lower: ") else word for word in words]


class _Copier:
    """Copies images into subfolders of their classes.

    Args:
        folder: gets the subfolders.
        root: the images below it keep their path; others have their name only, with a number where it is taken.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder, self._root = folder, root.resolve()
        self._written: Set[Path] = set()

    def copy(self, image: Path, class_ids: Sequence[int]) -> None:
        """Copy an image into the subfolder of each of its classes.

        Raises:
            ConfigError: it is not a file.
        """
        if not image.is_file():
            raise ConfigError(f"{image} is not a file, and cannot be copied; remove SavePreLabel")
        path = image.resolve()
        is_below = self._root.is_dir() and self._root in path.parents
        relative = path.relative_to(self._root) if is_below else Path(image.name)
        for class_id in class_ids:
            target = self._free(self._folder / str(class_id) / relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, target)

    def _free(self, target: Path) -> Path:
        """Return a path that this run has not written to."""
        names = (f"{target.stem}_{number}{target.suffix}" for number in itertools.count(2))
        free = target
        while free in self._written:
            free = target.with_name(next(names))
        self._written.add(free)
        return free


def _compare_preprocessing(recipe: Deployment, predictor: Any) -> None:
    """Warn if a recipe's preprocessing makes other images than that of the export, which is used.

    Raises:
        ConfigError: it has a mistake.
    """
    import numpy as np

    from ppcls.data.transforms import build_transforms

    assert recipe.PreProcess is not None
    ops, where = recipe.PreProcess.transform_ops, recipe.locate("PreProcess", "transform_ops")
    try:
        transforms = build_transforms([op for op in ops if "DecodeImage" not in op])
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    image = np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8)
    of_recipe, of_export = (
        np.asarray(run(image, np.random.default_rng(0))) for run in (transforms, predictor.pipeline.transforms)
    )
    if of_recipe.shape == of_export.shape and np.allclose(of_recipe, of_export, rtol=0, atol=_TOLERANCE):
        return
    what = (
        f"images of {list(of_recipe.shape)}, not {list(of_export.shape)}"
        if of_recipe.shape != of_export.shape
        else f"pixels that differ by up to {np.abs(of_recipe - of_export).max():.3g}"
    )
    get_logger().warning(
        "%s: not what %s was exported with: it makes %s. The preprocessing in the export is used; remove PreProcess, "
        "or export the model with other Infer.transforms",
        *(where, predictor.description.path, what),
    )


def _postprocess(recipe: Deployment, description: Any) -> Any:
    """Return the post-processing of the recipe, with the class names; that of the export if the recipe has none.

    Raises:
        ConfigError: it is unknown, has a mistake, or is for another kind of model.
    """
    from ppcls.config import paddleclas
    from ppcls.inference.postprocess import POSTPROCESSES

    exported = description.postprocess
    if not recipe.PostProcess.components:
        return exported
    ((name, arguments),) = recipe.PostProcess.components.items()
    where = recipe.locate("PostProcess", name)
    if name not in POSTPROCESSES:
        raise ConfigError(f"{where}: {paddleclas.unknown('postprocess', name, POSTPROCESSES)}")
    activation = getattr(POSTPROCESSES[name].target, "activation", exported.activation)
    if activation != exported.activation:
        kind = "any number of classes" if exported.is_multilabel else "one class"
        raise ConfigError(
            f"{where}: an image has {kind} in {description.path}, which was exported with {type(exported).__name__}; "
            f"remove {name} (-o PostProcess=null)"
        )
    arguments = dict(arguments)
    for key, expected in _NAME_KEYS.items():
        if not isinstance(arguments.get(key), (expected, type(None))):
            what = "a list" if expected is list else "text"
            raise ConfigError(f"{recipe.locate('PostProcess', name, key)}: must be {what}, not {arguments[key]!r}")
    given = {key: arguments.pop(key, None) for key in _NAME_KEYS}
    names = _class_names(recipe, name, given, description)
    try:
        built = POSTPROCESSES.build(name, arguments, class_num=description.class_num, class_names=names)
    except ConfigError as error:
        message = str(error)[len(f"{name}: ") :]
        key, _, rest = message.partition(": ")
        if key in arguments:
            raise ConfigError(f"{recipe.locate('PostProcess', name, key)}: {rest}") from None
        raise ConfigError(f"{where}: {message}") from None
    _compare_thresholds(built, exported, where)
    return built


def _compare_thresholds(built: Any, exported: Any, where: str) -> None:
    """Warn if a recipe's thresholds, which are used, are not those of the export."""
    if type(built) is not type(exported):
        return
    given, before = (getattr(item, "thresholds", getattr(item, "threshold", None)) for item in (built, exported))
    if given is not None and (given != before if isinstance(given, float) else (given != before).any()):
        get_logger().warning(
            "%s: other thresholds than those that the model was exported with; using those of the recipe", where
        )


def _class_names(recipe: Deployment, name: str, keys: Mapping[str, Any], description: Any) -> Optional[List[str]]:
    """Return the names in an answer: those in the recipe, else those of the export; see ``choose_names``."""
    from ppcls.data.datasets import label_files

    file, delimiter, listed = (keys[key] for key in _NAME_KEYS)
    exported: Optional[List[str]] = description.class_names
    where = recipe.locate("PostProcess", name, "label_list" if file is None else "class_id_map_file")
    given: Optional[List[str]] = None
    if file is not None:
        is_for_imagenet = exported is not None and label_files.are_imagenet_folders(exported)
        try:
            given = label_files.read_label_file(file, delimiter, description.class_num, where, is_for_imagenet)
        except DataError as error:
            get_logger().warning("%s: %s; ignored", where, error)
    elif listed and label_files.has_one_name_per_class(listed, description.class_num, where):
        given = list(map(str, listed))
    if given is None:
        return exported
    return label_files.choose_names(
        given, None if description.names_are_labels else exported, where, str(description.path)
    )


COMMAND = Command("predict_cls", "predict images with an exported model", _add_options, _run)
