"""Knowledge distillation: a trained model, the teacher, tells what it sees in each image."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import paddle
from paddle.nn import functional as F

from ppcls.config.schema import ArchSection, Config, DistillationSection
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.components import load_config
from ppcls.engine.model import build_model, fetch_weights, load_required_weights
from ppcls.errors import ConfigError, WeightsError

NAME = "Distillation"  # of its loss
_TEMPERATURE = 3.0  # DeiT's


class Distillation:
    """A recipe's losses, (1 - alpha) times, and alpha times the distance from the teacher's answers.

    "soft": temperature^2 KL(teacher || student) of softmax(logits / temperature), https://arxiv.org/abs/1503.02531
    (section 2); "hard": the cross-entropy with the teacher's decisions, https://arxiv.org/abs/2012.12877 (section 4).
    Both are means over the images.

    Args:
        criterion: the recipe's losses.
        teacher: gives logits [B, K] of images [B, C, H, W].
        settings: the recipe's ``Distillation``.
    """

    def __init__(self, criterion: Any, teacher: paddle.nn.Layer, settings: DistillationSection) -> None:
        self.names = [*criterion.names, NAME]
        self._criterion = criterion
        self._teacher = teacher
        self._alpha = settings.alpha
        self._temperature = (settings.temperature or _TEMPERATURE) if settings.kind == "soft" else None
        self._teacher_logits: Optional[paddle.Tensor] = None
        teacher.eval()

    def run_teacher(self, images: paddle.Tensor) -> None:
        """Run the teacher on the student's images, mixed as they are; ``per_sample`` uses its logits."""
        with paddle.no_grad():
            self._teacher_logits = self._teacher(images).astype("float32")

    def per_sample(
        self, logits: paddle.Tensor, labels: paddle.Tensor
    ) -> Dict[str, Tuple[paddle.Tensor, paddle.Tensor]]:
        """Return (weighted losses, sample weights) under each loss's name, as ``CombinedLoss.per_sample`` does."""
        by_name = self._criterion.per_sample(logits, labels)
        found = {name: ((1 - self._alpha) * losses, weights) for name, (losses, weights) in by_name.items()}
        distances = self._alpha * self._distances(logits.astype("float32"))
        return {**found, NAME: (distances, paddle.ones_like(distances))}

    def _distances(self, logits: paddle.Tensor) -> paddle.Tensor:
        """Return each image's distance, [B], of logits [B, K]."""
        assert self._teacher_logits is not None
        if self._temperature is None:
            return F.cross_entropy(logits, self._teacher_logits.argmax(axis=1), reduction="none").flatten()
        temperature = self._temperature
        log_p = F.log_softmax(self._teacher_logits / temperature, axis=1)
        log_q = F.log_softmax(logits / temperature, axis=1)
        return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(axis=1)


def build_distillation(config: Config, criterion: Any, class_names: Optional[List[str]]) -> Optional[Distillation]:
    """Build what ``Distillation`` says, None without it.

    Args:
        criterion: the recipe's losses.
        class_names: of the training data, where they are known.

    Raises:
        ConfigError: the teacher makes no sense, or has other classes.
        WeightsError: its weights are missing or do not fit.
    """
    if config.Distillation is None:
        return None
    try:
        recipe = _teacher_recipe(config, config.Distillation)
        teacher = build_model(recipe)
    except ConfigError as error:
        text = str(error)[len("-c ") :] if str(error).startswith("-c ") else error
        raise ConfigError(f"{config.where('Distillation', 'teacher')}: Distillation.teacher: {text}") from None
    # Before the weights: their advice about another number of classes is for those who train.
    _check_count(config, recipe)
    weights = _load(recipe, teacher, config.Distillation)
    _check_names(class_names, weights)
    for parameter in teacher.parameters():
        parameter.stop_gradient = True
    return Distillation(criterion, teacher, config.Distillation)


def teacher_weights(config: Config) -> Optional[str]:
    """Return where the teacher's weights are, as the recipe says; None without a teacher, and for published ones."""
    if config.Distillation is None:
        return None
    settings = config.Distillation
    if not isinstance(settings.teacher, str):
        given = settings.teacher.pretrained
        return given if isinstance(given, str) else None
    return _teacher_recipe(config, settings).Global.pretrained_model


def _load(recipe: Config, teacher: paddle.nn.Layer, settings: DistillationSection) -> str:
    """Load the teacher's weights; return their path."""
    try:
        fetch_weights(recipe)
        return load_required_weights(recipe, teacher, "teach with")
    except WeightsError as error:
        key = "pretrained" if isinstance(settings.teacher, str) else "teacher.pretrained"
        raise WeightsError(f"the teacher's weights (Distillation.{key}): {error}") from None


def _check_count(config: Config, recipe: Config) -> None:
    """Raise a ConfigError where teacher and student have not as many classes."""
    ours, theirs = config.Arch.class_num, recipe.Arch.class_num
    if ours != theirs:
        raise ConfigError(f"Distillation.teacher: has {theirs} classes, and Arch.class_num is {ours}: they must agree")


def _teacher_recipe(config: Config, settings: DistillationSection) -> Config:
    """Return a recipe by which the teacher can be built and its weights loaded."""
    if isinstance(settings.teacher, str):
        recipe = load_config(settings.teacher)
        if recipe.Stages:
            recipe = recipe.stage(list(recipe.stages)[-1])
        weights = settings.pretrained or f"{recipe.Global.output_dir}/best_model"
        return recipe.with_global(pretrained_model=weights, checkpoints=None)
    given = {"class_num": config.Arch.class_num, **settings.teacher.arguments}
    arch = ArchSection(name=settings.teacher.name, pretrained=settings.teacher.pretrained, **given)
    student_only = dict.fromkeys(("pretrained_model", "checkpoints", "weights_key", "weights_image_size"))
    return config.model_copy(update={"Arch": arch}).with_global(**student_only)


def _check_names(class_names: Optional[List[str]], weights: str) -> None:
    """Raise a ConfigError where teacher and student number their classes differently."""
    names = checkpoint.class_names(checkpoint.strip_suffix(weights))
    if names is not None and class_names is not None and names != class_names:
        index = next(i for i, pair in enumerate(zip(names, class_names)) if pair[0] != pair[1])
        raise ConfigError(
            f"Distillation.teacher: {weights} was trained on other classes, or in another order: class {index} is "
            f"{names[index]!r} for the teacher and {class_names[index]!r} in the training data"
        )
