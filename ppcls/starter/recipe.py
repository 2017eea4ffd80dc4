"""The recipe that was chosen, as nested dicts with comments."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ppcls.arch import BACKBONES, ModelSpec, list_models, spec
from ppcls.config.tree import Path as KeyPath
from ppcls.starter.rules import Choice
from ppcls.starter.split import Parts
from ppcls.utils import imagenet

# The parts of each family but the classifier.
_BODIES = {
    "ConvMLP": ["tokenizer", "conv_blocks", "stages", "norm"],
    "ConvMixer": ["stem", "blocks"],
    "CycleMLP": ["stem", "stages", "norm"],
    "gMLP": ["stem", "blocks", "norm"],
}
_HEAD_EPOCHS = 5
_SMALLEST_PATCH = 2  # pixels
_TOPK = 5  # classes of an answer; of no more classes, every image has its own among them
_Ops = List[Dict[str, Any]]


@dataclass
class Draft:
    """A recipe in the making.

    Attributes:
        values: its sections.
        comments: by path.
    """

    values: Dict[str, Any]
    comments: Dict[KeyPath, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """The weights that training starts from.

    Attributes:
        path: the file; None for the published ones, which are in the cache.
        arch: the section ``Arch`` that they are for.
        image_size: side of the images that they were trained with, in pixels.
    """

    path: Optional[str]
    arch: Dict[str, Any]
    image_size: int


def draft(
    chosen: Mapping[str, Choice], parts: Parts, run: Path, start: Optional[Start], workers: int, classes: int
) -> Draft:
    """Return the recipe of choices.

    Args:
        chosen: by setting; see ``ppcls.starter.rules``.
        parts: what to train and to validate with.
        run: the run's folder.
        start: the weights that training starts from; None for random ones.
        workers: processes that read images.
        classes: how many there are.
    """
    size = chosen["image size"].value
    arch = _arch(chosen["model"].value, size)
    sides = {
        "Train": {
            "dataset": {**parts.train, "transform_ops": _train_ops(chosen, arch, size, start is not None)},
            "sampler": {
                "batch_size": chosen["batch size"].value,
                "shuffle": True,
                "drop_last": _drops_last(chosen, parts),
            },
            "loader": {"num_workers": workers},
        },
        "Eval": {
            "dataset": {**parts.val, "transform_ops": _eval_ops(arch, size)},
            "sampler": {"batch_size": chosen["batch size"].value},
            "loader": {"num_workers": workers},
        },
    }
    if start is None and chosen["mixing"].value:
        sides["Train"]["dataset"]["batch_transform_ops"] = [{"MixupCutmixOperator": dict(chosen["mixing"].value)}]
    values = {
        "Global": _global(chosen, run, size),
        "Arch": arch,
        "Loss": {"Train": [{"CELoss": {"epsilon": 0.1}}], "Eval": [{"CELoss": None}]},
        "Optimizer": _optimizer(chosen, start),
        "Metric": {"Eval": [{"TopkAcc": {"topk": [1, 5] if classes > _TOPK else [1]}}]},
        "DataLoader": sides,
        "Infer": {"PostProcess": {"name": "Topk", "topk": _TOPK}},
    }
    made = Draft(values, _comments(chosen, parts))
    if start is not None:
        _fine_tune(made, chosen, start)
    return made


def _arch(model: Mapping[str, Any], size: int) -> Dict[str, Any]:
    """Return the section ``Arch``; a ConvMixer's patches make a map of the wanted size, but have at least 2 pixels."""
    arch = dict(model)
    if arch["name"] == "ConvMixer" and "patch_size" not in arch:
        arch["patch_size"] = max(_SMALLEST_PATCH, round(size / arch.pop("map_side")))
    if BACKBONES[arch["name"]].takes("image_size"):
        arch["image_size"] = size
    return arch


def _global(chosen: Mapping[str, Choice], run: Path, size: int) -> Dict[str, Any]:
    return {
        "epochs": chosen["epochs"].value,
        "output_dir": str(run),
        "save_inference_dir": str(run / "inference"),
        "image_shape": [3, size, size],
        "checkpoints": "auto",
        "save_interval": 1,
        "keep_checkpoints": 5,
        "save_every_minutes": 2,
        "seed": 0,
    }


def _optimizer(chosen: Mapping[str, Choice], start: Optional[Start]) -> Dict[str, Any]:
    rate = chosen["learning rate"].value[0]
    warmup = 0.5 if start is not None else min(3, chosen["epochs"].value / 4)
    return {
        "name": "AdamW",
        "weight_decay": 0.05,
        "one_dim_param_no_weight_decay": True,
        "clip_norm": 1.0,
        "lr": {"name": "Cosine", "learning_rate": rate, "eta_min": 1e-6, "warmup_epoch": warmup},
    }


def _fine_tune(made: Draft, chosen: Mapping[str, Choice], start: Start) -> None:
    """Make two stages of a recipe: the classifier alone, then everything."""
    settings, arch = made.values["Global"], made.values["Arch"]
    if start.path is None:
        arch["pretrained"] = True
        made.comments["Arch", "pretrained"] = "the public weights, which are in the cache"
    else:
        settings["pretrained_model"] = start.path
    settings["drop_mismatched_head"] = True
    made.comments["Global", "drop_mismatched_head"] = "the weights may be for other classes"
    family = spec(arch["name"]).family if arch["name"] in list_models() else arch["name"]
    settings["freeze"] = list(_BODIES[family])
    epochs, settings["epochs"] = settings["epochs"], _HEAD_EPOCHS
    made.comments["Global", "epochs"] = "of the classifier; those of everything are in Stages"
    rate = chosen["learning rate"].value[1]
    override = {
        "Global": {"epochs": epochs, "freeze": []},
        "Optimizer.layer_decay": 0.75,
        "Optimizer.lr": {"learning_rate": rate, "warmup_epoch": min(2, epochs / 4)},
    }
    made.values["Stages"] = [{"name": "classifier"}, {"name": "everything", "init": "best", "override": override}]
    made.comments["Stages",] = "first the classifier alone, then everything with a smaller rate in earlier layers"


def _normalize(arch: Mapping[str, Any]) -> Dict[str, Any]:
    mean, std = (list(imagenet.MEAN), list(imagenet.STD))
    known = _spec(arch)
    if known is not None:
        mean, std = list(known.mean), list(known.std)
    return {"NormalizeImage": {"mean": mean, "std": std, "order": ""}}


def _spec(arch: Mapping[str, Any]) -> Optional[ModelSpec]:
    return spec(arch["name"]) if arch["name"] in list_models() else None


def _train_ops(chosen: Mapping[str, Choice], arch: Mapping[str, Any], size: int, tuned: bool) -> _Ops:
    resampling = {"interpolation": "bicubic", "backend": "pil"} if tuned else {}
    ops: _Ops = [
        {"DecodeImage": None},
        {"RandCropImage": {"size": size, "scale": list(chosen["crops"].value), **resampling}},
    ]
    if chosen["mirror images"].value:
        ops.append({"RandFlipImage": {"flip_code": 1}})
    ops += [dict(op) for op in chosen["augmentation"].value]
    return [*ops, _normalize(arch), {"ToCHWImage": None}]


def _eval_ops(arch: Mapping[str, Any], size: int) -> _Ops:
    known = _spec(arch)
    resampling = {"interpolation": "bicubic", "backend": "pil"} if known is not None else {}
    crop = 0.89 if known is None else known.crop_pct
    return [
        {"DecodeImage": None},
        {"ResizeImage": {"resize_short": round(size / crop), **resampling}},
        {"CropImage": {"size": size}},
        _normalize(arch),
        {"ToCHWImage": None},
    ]


def _drops_last(chosen: Mapping[str, Choice], parts: Parts) -> bool:
    """Return whether the last, smaller batch of an epoch is left out: its batch norms would be noisy."""
    return parts.num_train >= 4 * chosen["batch size"].value


def _comments(chosen: Mapping[str, Choice], parts: Parts) -> Dict[KeyPath, str]:
    ops: Tuple[Any, ...] = ("DataLoader", "Train", "dataset")
    comments: Dict[KeyPath, str] = {
        ("Global", "epochs"): chosen["epochs"].why,
        ("Global", "image_shape"): chosen["image size"].why,
        ("Global", "keep_checkpoints"): "`ppcls average` can make one model of them",
        ("Global", "checkpoints"): "the same command continues where the run was stopped",
        ("Arch", "name"): chosen["model"].why,
        ("Optimizer", "lr", "learning_rate"): chosen["learning rate"].why,
        (*ops, "transform_ops"): f"mirror images: {chosen['mirror images'].text} ({chosen['mirror images'].why})",
        ("DataLoader", "Train", "sampler", "batch_size"): chosen["batch size"].why,
    }
    if chosen["mixing"].value:
        comments[(*ops, "batch_transform_ops")] = chosen["mixing"].why
    return comments
