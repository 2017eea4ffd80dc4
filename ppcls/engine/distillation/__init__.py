"""Knowledge distillation and mutual learning: models that see the same images, and losses between their logits."""

from ppcls.engine.distillation.building import (
    build_distillation,
    build_trained_models,
    load_initial_weights,
    teacher_weights,
)
from ppcls.engine.distillation.step import TEACHER, Distillation

__all__ = [
    "TEACHER",
    "Distillation",
    "build_distillation",
    "build_trained_models",
    "load_initial_weights",
    "teacher_weights",
]
