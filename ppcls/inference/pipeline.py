"""Decode, batch, run, answer: the same for a checkpoint and for an exported model."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generator, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.errors import DataError, WeightsError
from ppcls.inference.decoding import prepared
from ppcls.inference.postprocess import Topk
from ppcls.inference.source import Source
from ppcls.registry.checks import require_int
from ppcls.utils import environment

Output = Tuple[str, Union[np.ndarray, DataError]]
Answer = Dict[str, Any]  # class_ids, scores, file_name, label_names; of an image that cannot be used file_name, error


@dataclass(frozen=True)
class Pipeline:
    """From sources to answers.

    Attributes:
        transforms: from encoded bytes or an array to what the model takes.
        run: from a batch [B, ...] of that to probabilities [B, K]; only called in the thread that asks for answers.
        postprocess: from the probabilities of an image to its answer.
        batch_size: images that go through the model together.
        decode_workers: threads that make images ready ahead of the model; 0 for none, None for one a core.
        input_shape: what an image must be like for the model; None takes any.
    """

    transforms: Callable[[Any, np.random.Generator], np.ndarray]
    run: Callable[[np.ndarray], np.ndarray]
    postprocess: Topk
    batch_size: int
    decode_workers: Optional[int] = None
    input_shape: Optional[Tuple[int, ...]] = None

    def __post_init__(self) -> None:
        require_int("batch_size", self.batch_size, 1)
        if self.decode_workers is not None:
            require_int("decode_workers", self.decode_workers, 0)

    def prepare(self, source: Source, stopped: Callable[[], bool] = lambda: False) -> np.ndarray:
        """Return an image ready for the model. May be called by several threads at the same time.

        Args:
            stopped: asked during a download whether the image is still wanted.

        Raises:
            DataError: the image cannot be used.
        """
        # Inference draws nothing at random; a recipe that does is at least repeatable.
        image = self.transforms(source.read(stopped), np.random.default_rng(0))
        if self.input_shape is not None and image.shape != tuple(self.input_shape):
            raise DataError(
                f"the transforms make an image of {list(image.shape)}, but the model takes {list(self.input_shape)}; "
                f"set a crop or a fixed size in the recipe, and export again"
            )
        return image

    def answers(self, sources: Iterable[Source]) -> Generator[Answer, None, None]:
        """Yield one answer an image, in order, as their batches are done; see ``outputs``.

        Raises:
            WeightsError: the model's probabilities are not finite.
        """
        with contextlib.closing(self.outputs(sources)) as outputs:
            for name, scores in outputs:
                if isinstance(scores, DataError):
                    yield {"file_name": name, "error": str(scores)}
                    continue
                answer = self.postprocess(scores)
                yield {
                    "class_ids": answer["class_ids"],
                    "scores": answer["scores"],
                    "file_name": name,
                    "label_names": answer["label_names"],
                }

    def outputs(self, sources: Iterable[Source]) -> Generator[Output, None, None]:
        """Yield each image's name, and the model's output for it or the error that it has.

        Memory stays bounded however many sources there are: images of two batches are made ready ahead.

        Raises:
            WeightsError: the model's outputs are not finite.
        """
        workers = environment.threads() if self.decode_workers is None else self.decode_workers
        pending: List[Tuple[str, Any]] = []
        for pair in prepared(sources, self.prepare, workers, ahead=2 * self.batch_size):
            pending.append(pair)
            if len(pending) == self.batch_size:
                yield from self._of_batch(pending)
                pending = []
        if pending:
            yield from self._of_batch(pending)

    def _of_batch(self, pending: Sequence[Tuple[str, Any]]) -> Iterator[Output]:
        # Images of several sizes may meet in a batch when nothing in the recipe crops them: each size runs by itself.
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
