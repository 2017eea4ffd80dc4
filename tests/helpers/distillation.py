"""Recipes with several models, with the traits of PaddleClas's."""

import yaml

TEACHER = {"name": "ConvMixer", "class_num": 10, "dim": 16, "depth": 2, "kernel_size": 3, "patch_size": 4}
STUDENT = {**TEACHER, "dim": 8, "depth": 1}


def write_distillation(recipe, models=None, **arch):
    """Turn a recipe of the digits into one that distils a trained teacher, as PaddleClas writes it; return its path.

    Args:
        models: of ``Arch``; by default a teacher and a student.
        arch: further keys of ``Arch``.
    """
    models = models or [{"Teacher": {**TEACHER, "pretrained": "teacher/best_model"}}, {"Student": STUDENT}]
    values = yaml.safe_load(recipe.read_text())
    values["Arch"] = {
        "name": "DistillationModel",
        "class_num": 10,
        "pretrained_list": None,
        "freeze_params_list": [True, False],
        "infer_model_name": "Student",
        "models": models,
        **arch,
    }
    values["Loss"] = {
        "Train": [{"DistillationCELoss": {"weight": 1.0, "model_name_pairs": [["Student", "Teacher"]]}}],
        "Eval": [{"CELoss": {"weight": 1.0}}],
    }
    metric = {"DistillationTopkAcc": {"model_key": "Student", "topk": [1, 5]}}
    values["Metric"] = {"Train": [metric], "Eval": [metric]}
    path = recipe.with_name("distillation.yaml")
    path.write_text(yaml.safe_dump(values))
    return path


def write_mutual(recipe, model=STUDENT):
    """Turn a recipe of the digits into one in which two models learn from each other; return its path."""
    path = write_distillation(recipe, [{"Teacher": model}, {"Student": model}], freeze_params_list=[False, False])
    values = yaml.safe_load(path.read_text())
    values["Loss"]["Train"] = [
        {"DistillationGTCELoss": {"weight": 1.0, "model_names": ["Student", "Teacher"]}},
        {"DistillationDMLLoss": {"weight": 1.0, "key": "logits", "model_name_pairs": [["Student", "Teacher"]]}},
    ]
    values["Loss"]["Eval"] = [{"DistillationGTCELoss": {"weight": 1.0, "model_names": ["Student"]}}]
    path = recipe.with_name("mutual.yaml")
    path.write_text(yaml.safe_dump(values))
    return path
