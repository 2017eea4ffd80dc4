"""Arrays into a model: all or nothing, and a message that lists everything that does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, List, Literal, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import paddle
from paddle import nn

from ppcls.arch import Backbone, require_method
from ppcls.arch.backbone.fixed_size import FixedSizeBackbone
from ppcls.errors import ConfigError, WeightsError
from ppcls.utils.logging import get_logger
from ppcls.weights.detection import detect_architecture
from ppcls.weights.head import drop_head, drop_wrong_head, in_head, reorder_head
from ppcls.weights.image_size import SourceSize, require_same_size, size_advice, source_size
from ppcls.weights.matching import WeightMatch, best_match, fits_model
from ppcls.weights.reader import read_selection, require_finite
from ppcls.weights.record import read_record
from ppcls.weights.selection import Selection, select
from ppcls.weights.wording import CHOOSE, HEAD_ADVICE
from ppcls.weights.wrappers import STUDENT, Wanted, is_model_of_distillation, list_names, prefix_groups


@dataclass(frozen=True)
class LoadReport:
    """What ``load_weights`` did.

    Attributes:
        naming: whose tensor names the source used ("ppcls", "timm", ...).
        loaded: names in the model of the tensors that were set.
        dropped: names in the source of the tensors that were left out.
        fresh: names in the model of the tensors that keep their initialisation.
        resized: names in the model of the tensors that came from another image size.
        key: which of the file's dicts and prefixes they were found under ("state_dict.model"); empty for none.
        size: the image sizes from and to which they were resized; empty where that is not so.
        reordered: whether the outputs of the classifier were put into another order.
        channels: "from 3 to 1 channels" where the weights came from another number of image channels, else empty.
    """

    naming: str
    loaded: Tuple[str, ...]
    dropped: Tuple[str, ...]
    fresh: Tuple[str, ...]
    resized: Tuple[str, ...] = ()
    key: str = ""
    size: str = ""
    reordered: bool = False
    channels: str = ""

    def __str__(self) -> str:
        text = f"loaded {len(self.loaded)} tensors ({self.naming} names)" + (f" of {self.key}" if self.key else "")
        if self.dropped:
            text += f", left out {list_names(self.dropped)}"
        if self.resized:
            text += f", resized {f'{self.size}: ' if self.size else ''}{list_names(self.resized)}"
        if self.channels:
            text += f", adapted {self.channels}"
        if self.reordered:
            text += ", put the classifier's outputs into the order of the classes here, matched by name"
        if self.fresh:
            text += f", freshly initialised: {list_names(self.fresh)}"
        return text


def load_weights(
    model: nn.Layer,
    weights: Union[str, Path, Mapping[str, np.ndarray]],
    *,
    key: Optional[str] = None,
    drop_mismatched_head: bool = False,
    adapt: Union[bool, Literal["image_size"]] = True,
    image_size: Union[int, Sequence[int], None] = None,
    submodel: str = STUDENT,
    class_ids: Optional[Sequence[int]] = None,
) -> LoadReport:
    """Set all weights of ``model``, or none of them.

    Args:
        model: any layer; ``ppcls.weights.names`` has the names that other implementations give the families' tensors.
        weights: a file (see ``read_weights``), or arrays by name.
        key: which weights of a file that holds several, such as "teacher" or "state_dict.model"; by default an average
            comes first, then a teacher, then the trained model.
        drop_mismatched_head: keep the classifier's initialisation if the source's has another number of classes, or
            if it has none.
        adapt: let the model make weights of another image size or number of channels fit (``Backbone.adapt``);
            "image_size" refuses another number of channels, with which the model does not answer as before.
        image_size: image size of the weights in pixels, one number or [height, width] (gMLP only). By default what our
            checkpoints record, else inferred: the model's own size if the number of patches is the same, else a square,
            else the model's proportions; a warning says what was assumed.
        submodel: which model to take of a distillation's, whose tensor names begin with those of the models
            (``Student.head.weight``); the only one of a file is taken whatever it is called.
        class_ids: the class id in the weights of each class of the model, where the weights number the same classes
            otherwise; the classifier is a linear layer ``head`` then. An empty sequence keeps the classifier's
            initialisation, as the weights are for other classes.

    Raises:
        WeightsError: the file cannot be read, anything is missing, unexpected, of another shape or not finite, or the
            weights are not for ``image_size``.
        ConfigError: ``model`` is no layer, or ``image_size`` is given and its weights fit any size.
    """
    _check_arguments(model, weights, image_size)
    wanted = Wanted(fits_model(model), submodel)
    recorded = None
    selection: Optional[Selection] = None
    if isinstance(weights, (str, Path)):
        found = read_selection(weights, key, wanted)
        found.log()
        origin, arrays, selection = str(weights), found.arrays, found.selection
        recorded = read_record(found.file).image_size if isinstance(model, FixedSizeBackbone) else None
    else:
        origin, arrays = "weights", {name: np.asarray(array) for name, array in weights.items()}
        if arrays:
            selection = select(arrays, origin, (np.ndarray,), key, wanted)
            arrays = selection.copy.tensors
            if str(selection):
                get_logger().warning("%s: %s", origin, selection)
    if selection is not None:
        _require_submodel(origin, selection, submodel)
    target = model.state_dict()
    match = best_match(model, arrays)
    size = SourceSize()
    resized: List[str] = []
    channels = _other_channels(model, match.arrays) if adapt is True else ""
    if adapt:
        size = source_size(model, match.arrays, image_size, recorded, origin)
        adapted = adapt_weights(model, target, match, size, () if adapt is True else (_first_conv(model),))
        resized = [name for name in adapted if not channels or name != _first_conv(model)]
    else:
        require_same_size(model, match.arrays, recorded)
    reordered, fresh = _fit_head(match, class_ids, drop_mismatched_head)
    require_match(model, origin, match, arrays, selection, size)
    require_finite({name: _rounded(array) for name, array in match.arrays.items()}, origin)
    if size.assumption:
        get_logger().warning("%s", size.assumption)
    with paddle.no_grad():
        for name, array in match.arrays.items():
            target[name].set_value(paddle.to_tensor(array).astype(target[name].dtype))
    left_out = (*match.dropped, *(selection.copy.left_out if selection is not None else ()))
    taken = selection.copy.key if selection is not None else ""
    return LoadReport(
        *(match.source, tuple(match.arrays), left_out, tuple(fresh), tuple(resized), taken, size.note),
        reordered=reordered,
        channels=channels,
    )


def _require_submodel(origin: str, selection: Selection, submodel: str) -> None:
    """Refuse the weights of another model of a distillation than the one that is wanted.

    Raises:
        WeightsError: they are of another one.
    """
    others = [part for part in selection.copy.path if is_model_of_distillation(part) and part != submodel]
    if submodel != STUDENT and others and submodel not in selection.copy.path:
        raise WeightsError(f"{origin}: holds the model {others[0]!r} of a distillation, but none called {submodel!r}")


def _check_arguments(model: Any, weights: Any, image_size: Any) -> None:
    if not isinstance(model, nn.Layer):
        raise ConfigError(f"model: must be a paddle.nn.Layer, not {type(model).__name__}")
    if not isinstance(weights, (str, Path, Mapping)):
        raise WeightsError(f"weights: must be a path, or arrays by name, not {type(weights).__name__}")
    if image_size is not None:
        require_sized_weights(model)


def require_sized_weights(model: nn.Layer) -> None:
    """Refuse an image size for weights that fit images of any size.

    Raises:
        ConfigError: nothing in the model depends on the size of the image.
    """
    require_method(model, "adapt", "image_size")
    if getattr(type(model), "adapt", None) is Backbone.adapt:
        raise ConfigError(f"image_size: the weights of {type(model).__name__} fit images of any size; leave it out")


def _fit_head(match: WeightMatch, class_ids: Optional[Sequence[int]], drop_mismatched: bool) -> Tuple[bool, List[str]]:
    """Return whether the classifier of ``match`` was put into another order, and which tensors keep their start."""
    if class_ids is not None and not class_ids:
        return False, drop_head(match)
    reordered = class_ids is not None and reorder_head(match, class_ids)
    return reordered, drop_wrong_head(match) if drop_mismatched else []


def _rounded(array: np.ndarray) -> np.ndarray:
    """Return what a float32 model gets: float64 holds numbers that are infinite there."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32) if array.dtype == np.float64 else array


def require_match(
    model: nn.Layer,
    origin: str,
    match: WeightMatch,
    arrays: Mapping[str, np.ndarray],
    selection: Optional[Selection] = None,
    size: Optional[SourceSize] = None,
) -> None:
    """Raise WeightsError, listing everything that does not fit, unless all of it does.

    Args:
        selection: what was taken from the file.
        size: the image size that the weights are taken to be for.
    """
    problems = match.problems()
    if problems:
        advice = [
            *_advice(model, match, arrays),
            *size_advice(model, match.arrays, size.image_size if size is not None else None),
            *_channels_advice(model, match),
            *_other_weights(match, arrays, selection),
        ]
        raise WeightsError("\n".join([_headline(model, origin, match, arrays), *problems, *advice]))


def _other_weights(match: WeightMatch, arrays: Mapping[str, np.ndarray], selection: Optional[Selection]) -> List[str]:
    """Return what else in the file could be meant."""
    if selection is None:
        return []
    prefixes = prefix_groups(arrays) if len(match.unexpected) > len(arrays) / 2 else []
    place = f"{selection.copy.key}." if selection.copy.key else ""
    found = [*selection.others, *(f"{place}{group}" for group in prefixes)]
    return [f"What else in the file looks like weights: {list_names(found)}; {CHOOSE}"] if found else []


def adapt_weights(
    model: nn.Layer,
    target: Mapping[str, paddle.Tensor],
    match: WeightMatch,
    size: SourceSize,
    kept: Collection[str] = (),
) -> List[str]:
    """Let the model adapt tensors of ``match``, and return the names of those that it changed.

    Args:
        kept: names of tensors that stay as they are.
    """
    resized: List[str] = []
    if not hasattr(model, "adapt"):  # any layer can be loaded
        return resized
    for name, array in match.arrays.items():
        if array.dtype.kind != "f" or name in kept:
            continue
        array = array.astype(np.float32) if array.dtype == np.float16 else array
        adapted = model.adapt(name, array, size.image_size)
        if adapted is not array and list(adapted.shape) == list(target[name].shape):
            match.arrays[name] = adapted
            match.misshaped.pop(name, None)
            resized.append(name)
    return resized


def _first_conv(model: nn.Layer) -> str:
    """Return the name of the weight that takes the image's channels, nothing for a layer that does not tell it."""
    return getattr(model, "first_conv", "")


def _other_channels(model: nn.Layer, arrays: Mapping[str, np.ndarray]) -> str:
    """Return "from 3 to 1 channels" for weights that are for another number of image channels, else nothing."""
    first = arrays.get(_first_conv(model))
    if first is None or first.ndim != 4 or first.shape[1] == model.in_channels:
        return ""
    return f"from {first.shape[1]} to {model.in_channels} channels"


def _channels_advice(model: nn.Layer, match: WeightMatch) -> List[str]:
    """Return what to do about weights for another number of image channels that are not adapted."""
    if list(match.misshaped) != [_first_conv(model)] or not _other_channels(model, match.arrays):
        return []
    channels = match.arrays[model.first_conv].shape[1]
    return [
        f"They were made for images of {channels} channels, and in_channels of the model is {model.in_channels}. Build "
        f"it with in_channels: {channels}; only training can begin with weights for another number"
    ]


def _headline(model: nn.Layer, origin: str, match: WeightMatch, arrays: Mapping[str, np.ndarray]) -> str:
    text = f"{origin}: does not fit {type(model).__name__}, nothing was loaded"
    if match.mistyped and not (match.missing or match.unexpected or match.misshaped):
        return f"{text}; the names and shapes are right:"
    detected = detect_architecture(arrays)
    return f"{text}; it looks like {detected}:" if detected else f"{text}:"


def _advice(model: nn.Layer, match: WeightMatch, arrays: Mapping[str, np.ndarray]) -> List[str]:
    wrong = [
        *match.ambiguous,
        *match.missing,
        *match.misshaped,
        *match.mistyped,
        *(match.naming.rename(name) or name for name in match.unexpected),
    ]
    if not all(in_head(name) for name in wrong):
        return []
    biases = [array for name, array in arrays.items() if match.naming.rename(name) == "head.bias"]
    classifier = f"{biases[0].size} classes" if biases else "no classifier"
    return [
        f"Only the head differs: the weights have {classifier}, the model has class_num "
        f"{getattr(model, 'class_num', '?')}. {HEAD_ADVICE}"
    ]
