"""From a recipe to the models beside its own, and the losses between them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import paddle

from ppcls.arch import BACKBONES
from ppcls.config.schema import ArchSection, Config, ModelSection, TeacherSection
from ppcls.data.datasets import Classes
from ppcls.engine import class_count, initial_weights, preprocessing
from ppcls.engine import model as models
from ppcls.engine.checkpointing import checkpoint, saved_classes
from ppcls.engine.components import load_config
from ppcls.engine.distillation.step import TEACHER, Distillation, with_teacher
from ppcls.engine.label_names import number_same_classes
from ppcls.errors import ConfigError, WeightsError
from ppcls.loss import CombinedLoss
from ppcls.utils import distributed
from ppcls.utils.logging import warn_once
from ppcls.weights.head import has_linear_head

_SEEDS = 2**32


@dataclass(frozen=True)
class _Model:
    """A model beside the recipe's own.

    Attributes:
        name: what losses call it.
        path: where the recipe describes it.
        settings: what stands there; for a teacher, also the recipe that it was trained by.
        seed: of its random weights.
    """

    name: str
    path: Tuple[str, ...]
    settings: Union[str, TeacherSection, ModelSection]
    seed: int

    @property
    def key(self) -> str:
        """Return the key of the recipe that describes it."""
        return ".".join(self.path)

    @property
    def frozen(self) -> bool:
        """Return whether it is not trained."""
        return not isinstance(self.settings, ModelSection) or self.settings.frozen

    @property
    def weights_description(self) -> str:
        """Return the key of its weights, and whose they are."""
        if self.path[-1] == "teacher":
            key = "pretrained" if isinstance(self.settings, str) else "teacher.pretrained"
            return f"the teacher's weights (Distillation.{key})"
        return f"the weights of {self.name} ({self.key}.pretrained)"


def build_trained_models(config: Config) -> Dict[str, paddle.nn.Layer]:
    """Build the models that are trained beside the recipe's own, by name, each with other random weights.

    Raises:
        ConfigError: an architecture refuses its arguments.
    """
    return {model.name: _build(config, model)[1] for model in _models(config) if not model.frozen}


def load_initial_weights(config: Config, trained: Mapping[str, paddle.nn.Layer], classes: Classes) -> List[str]:
    """Load the weights from which the models beside the recipe's own are trained; a collective.

    Args:
        trained: from ``build_trained_models``.
        classes: of the training data.

    Returns:
        What to log.

    Raises:
        WeightsError: they are missing or do not fit.
    """
    loaded = []
    for model in _models(config):
        if model.frozen:
            continue
        recipe = _recipe(config, model)
        with _named_weights(model):
            weights = models.fetch_weights(recipe)
            if weights is not None:
                with distributed.errors_on_all_ranks():
                    text = initial_weights.load_initial_weights(recipe, trained[model.name], weights, classes)
                    loaded.append(f"{model.name}: {text}")
    return loaded


def build_distillation(
    config: Config,
    criterion: CombinedLoss,
    trained: Mapping[str, paddle.nn.Layer],
    classes: Classes,
) -> Optional[Distillation]:
    """Build what ``Distillation`` says, None without it.

    Args:
        criterion: the recipe's losses.
        trained: from ``build_trained_models``.
        classes: of the training data.

    Raises:
        ConfigError: a teacher cannot be built, has other classes, or has no weights.
        WeightsError: its weights are missing or do not fit.
    """
    if config.Distillation is None:
        return None
    if config.Distillation.teacher is not None:
        criterion = with_teacher(criterion, config.Distillation)
    frozen = {model.name: _build_frozen(config, model, classes) for model in _models(config) if model.frozen}
    return Distillation(criterion, frozen, trained)


def teacher_weights(config: Config) -> Dict[str, str]:
    """Return where the weights of the other models are, by name, as the recipe says; without published ones."""
    found = {}
    for model in _models(config):
        if isinstance(model.settings, str):
            weights = _recipe(config, model).Global.pretrained_model
        else:
            weights = model.settings.pretrained if isinstance(model.settings.pretrained, str) else None
        if weights is not None:
            found[model.name] = weights
    return found


def _models(config: Config) -> List[_Model]:
    """Return the models beside the recipe's own."""
    section, seed = config.Distillation, config.Global.seed
    if section is None:
        return []
    if section.teacher is not None:
        return [_Model(TEACHER, ("Distillation", "teacher"), section.teacher, seed)]
    # Two models with the same weights would have nothing to learn from each other: each has its own seed.
    return [
        _Model(name, ("Distillation", "models", name), settings, (seed + index) % _SEEDS)
        for index, (name, settings) in enumerate((section.models or {}).items(), start=1)
    ]


def _recipe(config: Config, model: _Model) -> Config:
    """Return a recipe by which a model can be built and its weights loaded."""
    settings = model.settings
    if isinstance(settings, str):
        recipe = load_config(settings)
        if recipe.Stages:
            recipe = recipe.stage(list(recipe.stages)[-1])
        given = config.Distillation.pretrained if config.Distillation is not None else None
        weights = given or f"{recipe.run_dir}/best_model"
        return class_count.for_weights(recipe.with_global(pretrained_model=weights, checkpoints=None))
    arguments = {"class_num": config.Arch.class_num, **settings.arguments}
    if BACKBONES[settings.name].takes("image_size"):
        arguments.setdefault("image_size", list(config.Global.image_shape[1:]))
    sync = config.Arch.use_sync_bn and not model.frozen
    arch = ArchSection(name=settings.name, pretrained=settings.pretrained, use_sync_bn=sync, **arguments)
    teacher = config.model_copy(update={"Arch": arch})
    keys = ("weights_key", "weights_image_size")
    values = {key: getattr(settings, key) for key in keys}
    recipe = teacher.with_global(pretrained_model=None, checkpoints=None, **values, seed=model.seed)
    origins = {("Global", key): config.where(*model.path, key) for key in keys}  # of the student's they are not
    recipe._origins = {**recipe._origins, **origins}
    return recipe


def _build(config: Config, model: _Model) -> Tuple[Config, paddle.nn.Layer]:
    """Build a model with random weights; return its recipe, too."""
    try:
        recipe = _recipe(config, model)
        layer = models.build_model(recipe)
    except ConfigError as error:
        raise ConfigError(f"{config.where(*model.path)}: {model.key}: {error}") from None
    return recipe, layer


def _build_frozen(config: Config, model: _Model, classes: Classes) -> paddle.nn.Layer:
    """Build a model that is not trained, with its weights."""
    recipe, layer = _build(config, model)
    # Before the weights: their advice about another number of classes is for those who train.
    class_num, teacher_class_num = config.Arch.class_num, recipe.Arch.class_num
    if class_num != teacher_class_num:
        raise ConfigError(
            f"{model.key}: has {teacher_class_num} classes, and Arch.class_num is {class_num}: they must agree"
        )
    if not isinstance(model.settings, str) and not model.settings.pretrained:
        raise ConfigError(
            f"{config.where(*model.path)}: {model.key}: is frozen and has no weights, so what it teaches would be "
            f"random: give pretrained a path (true: the published ones), or train it, too, with frozen: false"
        )
    with _named_weights(model):
        models.fetch_weights(recipe)
        find_order = partial(_class_order, model, layer, classes)
        weights = models.load_required_weights(recipe, layer, "teach with", find_order)
    # The teacher gets the images of the recipe, whatever its own says.
    own_recipe = recipe if isinstance(model.settings, str) else None
    preprocessing.warn_of_other_training(config, weights, model.weights_description, own_recipe)
    return layer


@contextlib.contextmanager
def _named_weights(model: _Model) -> Iterator[None]:
    """Say whose weights an error is about."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{model.weights_description}: {error}") from None


def _class_order(model: _Model, layer: paddle.nn.Layer, classes: Classes, weights: str) -> Optional[List[int]]:
    """Return the class id of a teacher for each class of the data, where it has them in another order.

    Raises:
        ConfigError: it has other classes, or its outputs cannot be put into their order.
    """
    order = initial_weights.differing_order(weights, classes)
    known = saved_classes.classes(checkpoint.strip_suffix(weights))
    if known is None or (order is not None and has_linear_head(layer)):
        return order
    pairs: List[Tuple[str, Optional[Sequence[object]], Optional[Sequence[object]]]] = []
    if known.names is not None and classes.names is not None and not number_same_classes(classes.names, known.names):
        pairs.append(("class", known.names, classes.names))
    if (known.names is None) != (classes.names is None):
        warn_once(
            "%s: the classes of %s have no names, so they are compared by number; labels.txt beside a list names them",
            *(model.key, "the teacher" if known.names is None else "the training data"),
        )
    labels, of_weights = initial_weights.comparable_labels(known, classes)
    for kind, before, now in (*pairs, ("label", of_weights, labels)):
        if before is None or now is None or list(before) == list(now):
            continue
        index = next((i for i, pair in enumerate(zip(before, now)) if pair[0] != pair[1]), min(len(before), len(now)))
        of_teacher, of_data = (repr(values[index]) if index < len(values) else "missing" for values in (before, now))
        raise ConfigError(
            f"{model.key}: {weights} was trained on other classes{'' if order is None else ', or in another order'}: "
            f"{kind} {index} is {of_teacher} for the teacher and {of_data} in the training data"
        )
    return None
