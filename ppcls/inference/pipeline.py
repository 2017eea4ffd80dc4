"""Decode, batch, run, answer: the same for a checkpoint and for an exported model."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generator, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.errors import DataError, WeightsError
from ppcls.inference.decoding import preprocess_ahead
from ppcls.inference.postprocess import PostProcess
from ppcls.inference.source import FrameName, Source
from ppcls.registry.checks import require_int
from ppcls.utils import environment
from ppcls.utils.encoding import as_text

Output = Tuple[str, Union[np.ndarray, DataError]]
# class_ids, scores, file_name (of a video's frame: and time), label_names and what else the post-processing gives; or
# file_name and error
Answer = Dict[str, Any]


@dataclass(frozen=True)
class Pipeline:
    """From sources to answers.

    Attributes:
        transforms: from encoded bytes or an array to what the model takes.
        run: from a batch [B, ...] of that to probabilities [B, K]; only called in the caller's thread.
        postprocess: from the probabilities of an image to its answer.
        batch_size: images that go through the model together.
        decode_workers: threads that preprocess images while the model runs; 0 for none, None for one per core.
        input_shape: the shape of a preprocessed image; None takes any.
        views: of each image; with several, a preprocessed image is [views, ...], see ``ppcls.inference.tta``.
    """

    transforms: Callable[[Any, np.random.Generator], np.ndarray]
    run: Callable[[np.ndarray], np.ndarray]
    postprocess: PostProcess
    batch_size: int
    decode_workers: Optional[int] = None
    input_shape: Optional[Tuple[int, ...]] = None
    views: int = 1

    def __post_init__(self) -> None:
        require_int("batch_size", self.batch_size, 1)
        if self.decode_workers is not None:
            require_int("decode_workers", self.decode_workers, 0)

    def prepare(self, source: Source, stopped: Callable[[], bool] = lambda: False) -> np.ndarray:
        """Return a preprocessed image. May be called by several threads at the same time.

        Args:
            stopped: asked during a download whether to give up.

        Raises:
            DataError: the image cannot be used.
        """
        # Inference should draw nothing at random; with a recipe that does, results repeat at least.
        image = self.transforms(source.read(stopped), np.random.default_rng(0))
        if self.input_shape is not None and image.shape != tuple(self.input_shape):
            raise DataError(
                f"the transforms make an image of {list(image.shape)}, but the model takes {list(self.input_shape)}; "
                f"set a crop or a fixed size in the recipe, and export again"
            )
        return image

    def answers(self, sources: Iterable[Source]) -> Generator[Answer, None, None]:
        """Yield one answer per image, in order; see ``outputs``.

        Raises:
            WeightsError: the model's probabilities are not finite.
        """
        with contextlib.closing(self.outputs(sources)) as outputs:
            for name, scores in outputs:
                yield self.answer(name, scores)

    def answer(self, name: str, scores: Union[np.ndarray, DataError]) -> Answer:
        """Return the answer for an image.

        Args:
            scores: its probabilities [K], or its error.
        """
        where: Answer = {"file_name": as_text(name)}
        if isinstance(name, FrameName):
            where["time"] = name.time
        if isinstance(scores, DataError):
            return {**where, "error": str(scores)}
        answer = dict(self.postprocess(scores))
        first = {"class_ids": answer.pop("class_ids"), "scores": answer.pop("scores")}
        return {**first, **where, **answer}

    def outputs(self, sources: Iterable[Source]) -> Generator[Output, None, None]:
        """Yield each image's name with the model's output, or with the image's error.

        Memory is bounded: images are preprocessed at most two batches ahead.

        Raises:
            WeightsError: the model's outputs are not finite.
        """
        workers = environment.threads() if self.decode_workers is None else self.decode_workers
        pending: List[Tuple[str, Any]] = []
        for pair in preprocess_ahead(sources, self.prepare, workers, ahead=2 * self.batch_size):
            pending.append(pair)
            if len(pending) == self.batch_size:
                yield from self._predict_batch(pending)
                pending = []
        if pending:
            yield from self._predict_batch(pending)

    def _predict_batch(self, pending: Sequence[Tuple[str, Any]]) -> Iterator[Output]:
        # Without a crop in the recipe, a batch may have images of several sizes: each size runs by itself.
        shapes: Dict[Tuple[int, ...], List[int]] = {}
        for index, (_, image) in enumerate(pending):
            if not isinstance(image, DataError):
                shapes.setdefault(image.shape, []).append(index)
        outputs: Dict[int, np.ndarray] = {}
        for indices in shapes.values():
            outputs.update(zip(indices, self._finite_outputs(np.stack([pending[index][1] for index in indices]))))
        for index, (name, image) in enumerate(pending):
            yield name, image if isinstance(image, DataError) else outputs[index]

    def _finite_outputs(self, batch: np.ndarray) -> np.ndarray:
        outputs = self.run(batch)
        if not np.isfinite(outputs).all():
            raise WeightsError("the model's outputs are not finite: its weights are damaged, or training diverged")
        return outputs
