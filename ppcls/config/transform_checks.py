"""What transforms ask of the rest of a recipe: progressive training, several views of an image, half precision."""

from __future__ import annotations

from typing import Any, Dict, Iterator

from ppcls.config.components import SITES, Checked
from ppcls.config.problems import Problem
from ppcls.config.schema import Config
from ppcls.config.tree import Path

_TRAIN = ("DataLoader", "Train", "dataset", "transform_ops")
_EVALUATION = (("DataLoader", "Eval", "dataset", "transform_ops"), ("Infer", "transforms"))
_MODE = ("Global", "train_mode")
_PROGRESSIVE = "Global.train_mode: progressive"


def check(config: Config, checked: Checked) -> Iterator[Problem]:
    """Yield what is wrong with the transforms of a recipe without other mistakes."""
    yield from _training_only(checked)
    staged = {place: item for place, item in _transforms(checked, _TRAIN).items() if getattr(item, "stages", 0)}
    if config.Global.train_mode != "progressive":
        for place in staged:
            message = f"progress_* have no effect without {_PROGRESSIVE}, which is for training only"
            yield Problem(place, f"{message}; add it, or remove them")
        return
    if config.DataLoader.Train is None:
        return
    if not staged:
        message = "progressive needs RandCropImage.progress_size or RandAugmentV2.progress_magnitude"
        yield Problem(_MODE, f"{message} in DataLoader.Train")
    elif hasattr(checked.components.get(("DataLoader", "Train", "sampler")), "scales"):
        yield Problem(_MODE, "progressive and MultiScaleSampler exclude each other; remove one of them")
    first = next(iter(staged), ())
    for place, component in staged.items():
        if component.stages != staged[first].stages:
            message = f"has {component.stages} stages, and {first[-1]} has {staged[first].stages}; make them equal"
            yield Problem(place, message)


def _training_only(checked: Checked) -> Iterator[Problem]:
    """Yield a problem for each transform of evaluation or inference that changes over training or splits images."""
    for path in _EVALUATION:
        for place, component in _transforms(checked, path).items():
            if getattr(component, "stages", 0) or getattr(component, "splits", 1) > 1:
                key = "splits" if getattr(component, "splits", 1) > 1 else "progress_*"
                yield Problem(place, f"{key} is for training: use it in DataLoader.Train only")


def warnings(checked: Checked) -> Iterator[Problem]:
    """Yield what has no effect, or less than it seems."""
    for path in (site.path for site in SITES if site.kind == "transform"):
        for place, component in _transforms(checked, path).items():
            splits, prob = getattr(component, "splits", 1), getattr(component, "prob", 1)
            if splits > 1 and prob < 1:
                message = (
                    f"with splits: {splits}, about {1 - prob:.0%} of the augmented views are the clean image, with "
                    f"nothing to compare (prob: {prob:g}); the paper has prob: 1.0"
                )
                yield Problem(place, message)
            if getattr(component, "output_fp16", False):
                message = "has no effect: batches are float32, and a model in half precision casts them itself (AMP)"
                yield Problem((*place, "output_fp16"), message)


def _transforms(checked: Checked, path: Path) -> Dict[Path, Any]:
    """Return the transforms of a list, by where their arguments stand."""
    return {place: item for place, item in checked.components.items() if place[: len(path)] == path}
