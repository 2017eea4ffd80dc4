"""Answers with heat maps of where in the photo they come from."""

from __future__ import annotations

import difflib
import itertools
from dataclasses import dataclass
from typing import Any, Dict, Generator, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.transforms import Compose
from ppcls.data.transforms.arguments import MAX_PIXELS
from ppcls.data.transforms.conversion import to_channels
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import ConfigError, DataError, WeightsError
from ppcls.inference import heat_maps, occlusion, seen_area
from ppcls.inference.decoding import preprocess_ahead
from ppcls.inference.description import PIXELS
from ppcls.inference.pipeline import Answer
from ppcls.inference.predictor import BasePredictor, Predictor
from ppcls.inference.seen_area import SeenArea
from ppcls.inference.source import Source
from ppcls.utils import environment
from ppcls.utils.logging import warn_once
from ppcls.utils.text import listed

METHODS = ("auto", "grad-cam", "occlusion")
_BATCH = 8  # images that are explained together: each is in memory with its file


@dataclass(frozen=True)
class Explanation:
    """An image's answer, and where it comes from.

    Attributes:
        answer: as of ``BasePredictor.predict``; file_name and error for an image that cannot be used.
        class_id: the class that is explained; -1 for an image that cannot be used.
        label_name: its name, None where names are not known.
        score: its probability.
        picture: the photo with the heat map on it, [H, W, 3] uint8; None for an image that cannot be used.
        features: what the classifier gets, [num_features] float32, where they were asked for.
    """

    answer: Answer
    class_id: int = -1
    label_name: Optional[str] = None
    score: float = 0.0
    picture: Optional[np.ndarray] = None
    features: Optional[np.ndarray] = None


class _Prepared(NamedTuple):
    data: Any  # encoded bytes or pixels; decoded again when the picture is made, to save memory
    image: np.ndarray  # as the model takes it


class Explainer:
    """Explains what a model answers.

    Attributes:
        method: "grad-cam" or "occlusion".

    Args:
        predictor: of a run, a checkpoint or an export.
        method: "auto" takes Grad-CAM where the model has gradients and two halves, else occlusion.
        label: the class to explain, its name or its id as text; None for the best one of each image.
        features: whether to give the features of each image, too.

    Raises:
        ConfigError: the model has no gradients or features, averages over views, or has no such class.
    """

    def __init__(
        self, predictor: BasePredictor, method: str = "auto", label: Optional[str] = None, features: bool = False
    ) -> None:
        self._pipeline = predictor.pipeline
        self._feature_run = predictor.feature_run() if features else None
        if self._pipeline.views > 1:
            raise ConfigError("a heat map shows one view of the image, and tta averages several; leave tta out")
        self._model = None if isinstance(predictor, Predictor) else getattr(predictor, "model", None)
        self._channels_last = isinstance(predictor, Predictor) and predictor.description.input == PIXELS
        self.method = self._choose(method)
        self._class_id = None if label is None else find_class(label, self._pipeline.postprocess.class_names)
        self._areas: Dict[Tuple[int, int], Optional[SeenArea]] = {}

    def _choose(self, method: str) -> str:
        if method == "occlusion":
            return method
        if self._model is None:
            if method == "grad-cam":
                raise ConfigError(
                    "grad-cam: an exported model gives no gradients; give the folder of the run or the checkpoint, or "
                    "choose occlusion"
                )
            return "occlusion"
        from ppcls.analysis import grad_cam

        return "grad-cam" if method == "grad-cam" or grad_cam.is_possible(self._model) else "occlusion"

    def explanations(self, sources: Iterable[Source]) -> Generator[Explanation, None, None]:
        """Yield one explanation per image, in order.

        Raises:
            ConfigError: the model has no such class.
            WeightsError: the model's outputs are not finite.
        """
        batch = min(_BATCH, self._pipeline.batch_size)
        prepared = preprocess_ahead(sources, self._prepare, environment.threads(), ahead=batch)
        while True:
            pending = list(itertools.islice(prepared, batch))
            if not pending:
                return
            yield from self._explain_batch(pending)

    def _prepare(self, source: Source, stopped: Any) -> _Prepared:
        data = source.read(stopped)
        return _Prepared(data, self._pipeline.prepare(Source(source.name, data)))

    def _explain_batch(
        self, pending: Sequence[Tuple[str, Union[_Prepared, DataError]]]
    ) -> Generator[Explanation, None, None]:
        # Without a crop in the recipe, images may have several sizes: each size runs by itself.
        shapes: Dict[Tuple[int, ...], List[int]] = {}
        for index, (_, item) in enumerate(pending):
            if not isinstance(item, DataError):
                shapes.setdefault(item.image.shape, []).append(index)
        found: Dict[int, Tuple[np.ndarray, int, np.ndarray, Optional[np.ndarray]]] = {}
        for indices in shapes.values():
            images = np.stack([item.image for _, item in (pending[i] for i in indices) if isinstance(item, _Prepared)])
            features = [None] * len(images) if self._feature_run is None else self._feature_run(images)
            found.update(zip(indices, zip(*self._scores_and_heat(images), features)))
        for index, (name, item) in enumerate(pending):
            if isinstance(item, DataError):
                yield Explanation(self._pipeline.answer(name, item))
                continue
            scores, class_id, heat, features_of_image = found[index]
            names = self._pipeline.postprocess.class_names
            try:
                picture = self._draw(item, heat)
            except DataError as error:
                yield Explanation(self._pipeline.answer(name, error))
                continue
            yield Explanation(
                answer=self._pipeline.answer(name, scores),
                class_id=class_id,
                label_name=names[class_id] if names else None,
                score=round(float(scores[class_id]), 5),
                picture=picture,
                features=features_of_image,
            )

    def _scores_and_heat(self, images: np.ndarray) -> Tuple[np.ndarray, List[int], np.ndarray]:
        """Return probabilities [B, K], explained classes [B] and heat [B, H, W] of images of one size."""
        scores = self._pipeline.run(images)
        if not np.isfinite(scores).all():
            raise WeightsError("the model's outputs are not finite: its weights are damaged, or training diverged")
        if self._class_id is not None and self._class_id >= scores.shape[1]:
            raise ConfigError(f"class {self._class_id}: the model has the classes 0 to {scores.shape[1] - 1}")
        ids = scores.argmax(axis=1) if self._class_id is None else np.full(len(images), self._class_id)
        class_ids = [int(class_id) for class_id in ids]
        if self.method == "grad-cam":
            from ppcls.analysis import grad_cam

            assert self._model is not None
            heat = grad_cam.heat_maps(self._model, images, class_ids, self._pipeline.postprocess.is_multilabel)
            return scores, class_ids, heat
        maps = [
            occlusion.heat_map(
                self._pipeline.run,
                image,
                class_id,
                batch_size=self._pipeline.batch_size,
                channels_last=self._channels_last,
            )
            for image, class_id in zip(images, class_ids)
        ]
        return scores, class_ids, np.stack(maps)

    def _draw(self, item: _Prepared, heat: np.ndarray) -> np.ndarray:
        """Return the photo with its heat; the model's picture where it is not known what it shows of the photo."""
        transforms = self._pipeline.transforms
        if not isinstance(transforms, Compose):
            raise ConfigError("heat maps need the transforms of a recipe or an export")
        if isinstance(item.data, np.ndarray) and item.data.ndim == 3:
            photo = to_channels(item.data, 3)
        else:
            most = next((op.max_pixels for op in transforms.ops if hasattr(op, "max_pixels")), MAX_PIXELS)
            photo = decode_image(item.data, most)
        size = (photo.shape[0], photo.shape[1])
        if size not in self._areas:
            self._areas[size] = seen_area.find(transforms, *size)
        area = self._areas[size]
        if area is not None:
            return heat_maps.overlay(photo, seen_area.on_photo(heat, area, *size))
        seen = seen_area.picture(transforms, photo)
        if seen is None or seen.shape[:2] != heat.shape:
            raise ConfigError("the transforms make no picture before the normalization: heat cannot be drawn on it")
        warn_once("the transforms do more than resize, crop and pad: heat maps are drawn on what the model sees")
        return heat_maps.overlay(seen, heat)


def find_class(label: str, names: Optional[Sequence[str]]) -> int:
    """Return the id of a class, given by its name or its id.

    Raises:
        ConfigError: there is no such class.
    """
    if names and label in names:
        return list(names).index(label)
    if label.isdecimal() and (not names or int(label) < len(names)):
        return int(label)
    if names is None:
        raise ConfigError(f"class {label!r}: the model has no class names; give the id of the class, from 0")
    near = difflib.get_close_matches(label, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ConfigError(f"class {label!r}: no such name or id{hint} The model has {len(names)}: {listed(names)}")
