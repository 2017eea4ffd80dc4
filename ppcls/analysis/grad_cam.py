"""Heat maps of where the evidence for a class is, by Grad-CAM.

Source: Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, section 3. All families end with the mean of their last
map over the positions and a linear classifier. There, Grad-CAM is exact: the evidence at a position is what it adds to
the class's logit, and the logit is the mean of the evidence (Zhou et al. 2016, https://arxiv.org/abs/1512.04150).
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, Iterator, List, Sequence, Tuple, Union

import numpy as np
import paddle

from ppcls.arch.backbone.base import require_method
from ppcls.engine.memory import explain_inference_memory
from ppcls.errors import ConfigError, WeightsError
from ppcls.inference import heat_maps as scales

_BATCH = 16  # images that go through the model together
_METHODS = ("forward_features", "forward_head")


def is_possible(model: Any) -> bool:
    """Return whether a model has what Grad-CAM needs: the methods of ``ppcls.arch.Backbone`` for its two halves."""
    return all(callable(getattr(model, name, None)) for name in _METHODS)


def heat_maps(
    model: paddle.nn.Layer,
    images: Union[np.ndarray, paddle.Tensor],
    class_ids: Sequence[int],
    multilabel: bool = False,
) -> np.ndarray:
    """Return where the evidence for one class of each image is, [B, H, W] float32 from 0 to 1.

    The evidence is that for the class's logit compared with the mean of the other logits, since a softmax depends on
    such differences only; with ``multilabel`` it is that for the logit itself. Negative evidence is 0. The scale is
    ``ppcls.inference.heat_maps.scaled``: 1 is the strongest evidence in the image, if that much everywhere would make
    the class twice as probable as all others together, and if the evidence is twice as uneven as that of the same
    pixels in random order.

    The model is left as it was: each layer's training mode, its weights and their gradients.

    Args:
        model: with ``forward_features`` and ``forward_head``, as every ``ppcls.arch.Backbone``.
        images: preprocessed, [B, C, H, W] float32.
        class_ids: [B].
        multilabel: whether an image may have several classes, which have a sigmoid each.

    Raises:
        ConfigError: the model lacks these methods, or there is no such class.
        WeightsError: the model's outputs are not finite.
        MachineError: memory ran out.
    """
    for name in _METHODS:
        require_method(model, name, "Grad-CAM")
    images, ids = np.asarray(images, np.float32), np.asarray(class_ids, np.int64)
    if len(ids) != len(images):
        raise ConfigError(f"class_ids: one per image expected, got {len(ids)} for {len(images)} images")
    heat = np.empty((len(images), *images.shape[2:]), np.float32)
    with _evaluating(model):
        for start in range(0, len(images), _BATCH):
            part = slice(start, start + _BATCH)
            heat[part] = _heat_of_batch(model, images[part], ids[part], multilabel)
    return heat


def _heat_of_batch(model: Any, images: np.ndarray, ids: np.ndarray, multilabel: bool) -> np.ndarray:
    evidence, class_num = _evidence(model, images, ids, multilabel)
    others = 1 if multilabel or class_num == 1 else class_num - 1
    unevenness = [
        _evidence(model, scales.shuffled(images, seed), ids, multilabel)[0].std(axis=(1, 2))
        for seed in range(scales.SHUFFLES)
    ]
    likeness = np.max(unevenness, axis=0) / np.maximum(evidence.std(axis=(1, 2)), 1e-12)
    heat = scales.scaled(evidence, enough=math.log(2 * others), likeness=likeness)
    return scales.stretched(heat, (images.shape[2], images.shape[3]), _stride(model))


def _evidence(model: Any, images: np.ndarray, ids: np.ndarray, multilabel: bool) -> Tuple[np.ndarray, int]:
    """Return the evidence at each position of the last map, [B, H', W'], and the number of classes."""
    with explain_inference_memory(len(images)):
        with paddle.no_grad():
            last = model.forward_features(paddle.to_tensor(images)).detach()
        if last.ndim != 4:
            raise ConfigError(
                f"Grad-CAM: {type(model).__name__}.forward_features must return a map [B, C, H, W], not "
                f"{list(last.shape)}; use occlusion"
            )
        last.stop_gradient = False
        with paddle.enable_grad():
            logits = model.forward_head(last)
            target = (logits * paddle.to_tensor(_target(ids, int(logits.shape[1]), multilabel))).sum()
            # By the parameters, too: with Paddle 2, the CPU operators cannot leave them out.
            gradient, *_ = paddle.grad(target, [last, *_trained(model)], allow_unused=True)
        weights = gradient.sum([2, 3], keepdim=True)
        evidence = np.asarray((weights * last.detach()).sum(1).astype("float32"))
    if not np.isfinite(evidence).all():
        raise WeightsError("the model's outputs are not finite: its weights are damaged, or training diverged")
    return evidence, int(logits.shape[1])


def _trained(model: paddle.nn.Layer) -> List[paddle.Tensor]:
    return [parameter for parameter in model.parameters() if not parameter.stop_gradient]


def _target(ids: np.ndarray, class_num: int, multilabel: bool) -> np.ndarray:
    """Return the weights [B, K] of the logits whose sum is explained."""
    if len(ids) and not 0 <= ids.min() <= ids.max() < class_num:
        raise ConfigError(f"class_ids: the model has the classes 0 to {class_num - 1}, not {ids.tolist()}")
    rest = 0.0 if multilabel or class_num == 1 else -1 / (class_num - 1)
    weights = np.full((len(ids), class_num), rest, np.float32)
    weights[np.arange(len(ids)), ids] = 1
    return weights


def _stride(model: Any) -> int:
    """Return the pixels per position of the last map; 0 where the model does not tell."""
    info = getattr(model, "feature_info", None)
    return int(info[-1].stride) if info else 0


@contextlib.contextmanager
def _evaluating(model: paddle.nn.Layer) -> Iterator[None]:
    """Put all layers into evaluation mode; afterwards each is in the mode that it was in."""
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training
