"""Decode, batch, run, answer: the same for a checkpoint and for an exported model."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

import numpy as np

from ppcls.deploy.inputs import Source
from ppcls.deploy.postprocess import Topk
from ppcls.errors import DataError


def predict(
    sources: Iterable[Source],
    transforms: Callable[[Any, np.random.Generator], np.ndarray],
    run: Callable[[np.ndarray], np.ndarray],
    postprocess: Topk,
    batch_size: int,
) -> Iterator[Dict[str, Any]]:
    """Yield one answer an image, in order.

    Args:
        transforms: from encoded bytes or an array to a float32 array [C, H, W].
        run: from a batch [B, C, H, W] to probabilities [B, K].

    Yields:
        {class_ids, scores, file_name, label_names}; for an image that cannot be used {file_name, error}.
    """
    pending: List[Tuple[str, Any]] = []
    for source in sources:
        pending.append((source.name, _prepare(source, transforms)))
        if len(pending) == batch_size:
            yield from _answers(pending, run, postprocess)
            pending = []
    if pending:
        yield from _answers(pending, run, postprocess)


def _prepare(source: Source, transforms: Callable[[Any, np.random.Generator], np.ndarray]) -> Any:
    """Return the image ready for the model, or why it cannot be."""
    # Inference draws nothing at random; a recipe that does is at least repeatable.
    rng = np.random.default_rng(0)
    try:
        return transforms(source.read(), rng)
    except DataError as error:
        return error


def _answers(
    pending: List[Tuple[str, Any]], run: Callable[[np.ndarray], np.ndarray], postprocess: Topk
) -> Iterator[Dict[str, Any]]:
    # Images of several sizes may meet in a batch when nothing in the recipe crops them: each size runs by itself.
    shapes: Dict[Tuple[int, ...], List[int]] = {}
    for index, (_, image) in enumerate(pending):
        if not isinstance(image, DataError):
            shapes.setdefault(image.shape, []).append(index)
    scores: Dict[int, np.ndarray] = {}
    for indices in shapes.values():
        scores.update(zip(indices, run(np.stack([pending[index][1] for index in indices]))))
    for index, (name, image) in enumerate(pending):
        if isinstance(image, DataError):
            yield {"file_name": name, "error": str(image)}
        else:
            answer = postprocess(scores[index])
            yield {
                "class_ids": answer["class_ids"],
                "scores": answer["scores"],
                "file_name": name,
                "label_names": answer["label_names"],
            }
