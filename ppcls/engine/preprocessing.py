"""Whether a model gets images that are prepared as those that it was made with."""

from __future__ import annotations

from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from ppcls.config import appearance
from ppcls.config.schema import Config
from ppcls.data.transforms import TRANSFORMS, TransformOp, name_and_arguments
from ppcls.engine.checkpointing import checkpoint
from ppcls.errors import CheckpointError, ConfigError
from ppcls.utils.logging import get_logger, warn_once

TRAIN, EVAL, INFER = "Train", "Eval", "Infer"
# Where the recipe of a run says how its images were prepared, the first that it has.
_SIDES = {TRAIN: (TRAIN, EVAL), EVAL: (EVAL, INFER, TRAIN), INFER: (INFER, EVAL, TRAIN)}
_ALLOW = "Global.allow_other_preprocessing"
_Ops = List[Tuple[str, Dict[str, Any]]]


def require_as_trained(config: Config, ops: Sequence[TransformOp], side: str, weights: str) -> None:
    """Refuse to use weights on images that are prepared otherwise than in the run that they are of.

    Other sizes and crops are a warning. Of weights that come without a record of their run, the log says so.

    Args:
        ops: the transforms in use.
        side: ``EVAL`` or ``INFER``.
        weights: the path that ``load_required_weights`` has returned.

    Raises:
        ConfigError: images look different: channels, normalization, interpolation or backends.
            ``Global.allow_other_preprocessing`` makes it a warning.
    """
    prefix = checkpoint.strip_suffix(weights)
    recorded = _recorded(prefix, side)
    if recorded is None:
        text = "%s: how images were prepared in its training is not known: there is no %s beside it"
        get_logger().info(text, weights, f"{prefix.name}{checkpoint.STATES}")
        return
    found_side, reference = recorded
    found = differences(ops, reference, ("the recipe", "its run"))
    if found:
        refuse(
            config,
            f"{weights}: images are prepared in another way than in its training: {'; '.join(found)}; use the "
            "transforms of its run (config.yaml in its folder)",
        )
    elif found_side != TRAIN:  # which crops at random
        warn_of_other_ops(ops, reference, f"the run of {weights}")


def warn_of_other_training(config: Config, weights: str, what: str, recipe: Optional[Config] = None) -> None:
    """Warn where training images look different to those that given weights were trained on.

    Args:
        weights: their path.
        what: what they are to the model that is trained, such as "the teacher's weights".
        recipe: by which they were trained, for weights that come without a record of their run.
    """
    recorded = _recorded(checkpoint.strip_suffix(weights), TRAIN)
    if recorded is None and recipe is not None:
        recorded = _first_side(recipe.plain(), TRAIN)
    if recorded is None or config.DataLoader.Train is None:
        return
    ops = config.DataLoader.Train.dataset.transform_ops
    found = differences(ops, recorded[1], ("DataLoader.Train", "its run"))
    if found:
        text = "%s (%s): images were prepared in another way in its training: %s"
        warn_once(text, weights, what, "; ".join(found))


def differences(
    ops: Sequence[TransformOp],
    reference: Sequence[TransformOp],
    owners: Tuple[str, str],
    ignored: Collection[str] = (),
) -> List[str]:
    """Return what makes images look different after two lists of transforms.

    Args:
        owners: whose lists they are, for the messages.
        ignored: traits that are not compared.
    """
    first, second = (
        {key: value for key, value in _traits(items, owner).items() if key not in ignored}
        for items, owner in zip((ops, reference), owners)
    )
    return appearance.differences(first, second)


def refuse(config: Config, text: str) -> None:
    """Raise a ConfigError that says how to do it all the same; where the recipe allows it, log a warning instead."""
    if not config.Global.allow_other_preprocessing:
        raise ConfigError(f"{text}. If it is meant: -o {_ALLOW}=true")
    get_logger().warning("%s (allowed by %s)", text, _ALLOW)


def warn_of_other_ops(ops: Sequence[TransformOp], reference: Sequence[TransformOp], owner: str) -> None:
    """Warn where two lists of transforms differ in what ``differences`` does not tell, such as sizes and crops."""
    used, others = _complete(ops), _complete(reference)
    if used != others:
        text = "the transforms of the recipe are others than those of %s: %s instead of %s"
        only = [[op for op in first if op not in second] for first, second in ((used, others), (others, used))]
        get_logger().warning(text, owner, *(_text(items) for items in only))


def _recorded(prefix: Any, side: str) -> Optional[Tuple[str, Sequence[TransformOp]]]:
    """Return how a checkpoint's run prepared images, and on which side; None where that is not recorded."""
    try:
        recipe = checkpoint.read_states(prefix)["config"]
    except CheckpointError:
        return None
    return _first_side(recipe, side)


def _first_side(recipe: Mapping[str, Any], side: str) -> Optional[Tuple[str, Sequence[TransformOp]]]:
    for name in _SIDES[side]:
        ops = _ops_of(recipe, name)
        if ops is not None:
            return name, ops
    return None


def _ops_of(recipe: Mapping[str, Any], side: str) -> Optional[Sequence[TransformOp]]:
    if side == INFER:
        return (recipe.get("Infer") or {}).get("transforms")
    section = (recipe.get("DataLoader") or {}).get(side)
    return None if section is None else section["dataset"].get("transform_ops")


def _traits(ops: Sequence[TransformOp], owner: str) -> appearance.Traits:
    found = appearance.traits((name, _component(name, arguments), owner) for name, arguments in _pairs(ops))
    return {key: value for key, value in found.items() if not key.startswith(appearance.GEOMETRY)}


def _component(name: str, arguments: Mapping[str, Any]) -> Any:
    """Return a transform; None for one that is not ours, or that this version does not have any more."""
    if name not in TRANSFORMS or TRANSFORMS[name].source is not None:
        return None
    try:
        return TRANSFORMS.build(name, arguments)
    except ConfigError:
        return None


def _pairs(ops: Sequence[TransformOp]) -> _Ops:
    return [(name, dict(arguments)) for name, arguments in map(name_and_arguments, ops)]


def _complete(ops: Sequence[TransformOp]) -> _Ops:
    """Return transforms with the defaults of their arguments, without the change of layout that all end with."""
    return [
        (name, {**_defaults(name), **{key: _plain(value) for key, value in arguments.items()}})
        for name, arguments in _pairs(ops)
        if name != "ToCHWImage"
    ]


def _defaults(name: str) -> Dict[str, Any]:
    parameters = TRANSFORMS[name].parameters() if name in TRANSFORMS else ()
    return {parameter.name: parameter.default for parameter in parameters if not parameter.required}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _text(ops: _Ops) -> str:
    changed = (
        (name, {key: value for key, value in arguments.items() if value != _defaults(name).get(key)})
        for name, arguments in ops
    )
    return ", ".join(f"{name} {arguments}" if arguments else name for name, arguments in changed) or "nothing"
