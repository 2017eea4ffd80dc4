"""Batch the images of many requests for the one thread that runs the model."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import queue
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Deque, Iterator, List, NamedTuple, Optional, TypeVar

import numpy as np

from ppcls.utils.logging import get_logger

T = TypeVar("T")


class ModelError(Exception):
    """The model failed, or its answer is invalid."""


class Scored(NamedTuple):
    """The model's answer for one image.

    Attributes:
        scores: probabilities [K].
        queue_seconds: how long the image waited.
        model_seconds: how long its batch took.
    """

    scores: np.ndarray
    queue_seconds: float
    model_seconds: float


@dataclass(frozen=True)
class _QueuedImage:
    image: np.ndarray
    answer: asyncio.Future
    submitted_at: float


class ModelThread:
    """Runs one function at a time, in a thread that does not keep the process alive if it hangs."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._since: Optional[float] = None
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def busy_for(self) -> float:
        """Return the seconds since the present call began; infinite when the thread is gone, 0 between calls."""
        if not self._thread.is_alive():
            return float("inf")
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    async def call(self, function: Callable[[Any], T], argument: Any) -> T:
        """Return what the function returns.

        Raises:
            ModelError: it raised an exception, which is the cause.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._calls.put((function, argument, loop, answer))
        return await answer

    def stop(self) -> None:
        """Let the thread end after its present call."""
        self._calls.put(None)

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            function, argument, loop, answer = call
            result, error = None, None
            self._since = time.monotonic()
            try:
                result = function(argument)
            except BaseException as caught:  # noqa: BLE001 - raised again where it was called
                # Not the exception itself: a future does not take StopIteration, and SystemExit would end the server.
                error = caught if isinstance(caught, ModelError) else _to_model_error(caught)
            self._since = None
            try:
                loop.call_soon_threadsafe(_resolve, answer, result, error)
            except RuntimeError:  # the server ended meanwhile
                return


def _resolve(answer: asyncio.Future, result: Any, error: Optional[ModelError]) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


class Batcher:
    """Takes images one by one and runs them in batches of equal shape.

    A batch begins as soon as the model is free. It waits for more only while images are being prepared
    (``preparing``), and not longer than ``max_wait``, so that a single client never waits. Background work runs when
    nothing else is there. An image whose caller was cancelled is not run.

    Attributes:
        preparing: images that are being prepared.
        failures: batches in a row without any finite score.

    Args:
        run: from a batch [B, C, H, W] to probabilities [B, K]; called by one thread.
        max_batch: images that go through the model together.
        max_wait: seconds that a batch waits for images that are being prepared.
        observe: called with each batch's size and seconds.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        max_batch: int,
        max_wait: float,
        observe: Callable[[int, float], None],
    ) -> None:
        self.preparing, self.failures = 0, 0
        self.thread = ModelThread()
        self._run_model, self._observe = run, observe
        self._max_batch, self._max_wait = max_batch, max_wait
        self._queue: Deque[_QueuedImage] = collections.deque()
        self._background_queue: Deque[_QueuedImage] = collections.deque()
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._work())

    @property
    def queue_length(self) -> int:
        """Return how many images wait."""
        return len(self._queue) + len(self._background_queue)

    @property
    def alive(self) -> bool:
        """Return whether images will be answered."""
        return not self._task.done()

    async def submit(self, image: np.ndarray, background: bool = False) -> Scored:
        """Return the model's answer for an image [C, H, W].

        Raises:
            ModelError: the model failed, or is no longer there.
        """
        if not self.alive:
            raise ModelError("the model is not running")
        item = _QueuedImage(image, asyncio.get_running_loop().create_future(), time.monotonic())
        (self._background_queue if background else self._queue).append(item)
        self._changed.set()
        return await item.answer

    @contextlib.contextmanager
    def preparing_image(self) -> Iterator[None]:
        """Count an image that is being prepared for the time of a block."""
        self.preparing += 1
        try:
            yield
        finally:
            self.preparing -= 1
            self._changed.set()

    async def stop(self) -> None:
        """Stop; images that still wait get a ModelError."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.thread.stop()

    async def _work(self) -> None:
        batch: List[_QueuedImage] = []
        try:
            while True:
                batch = []
                await self._wait_for_batch()
                batch = self._next_batch()
                if batch:
                    await self._run(batch)
        finally:
            _fail([*batch, *self._queue, *self._background_queue], ModelError("the model was stopped"))

    async def _wait_for_batch(self) -> None:
        while not self._queue and not self._background_queue:
            self._changed.clear()
            await self._changed.wait()
        if not self._queue:
            return
        deadline = self._queue[0].submitted_at + self._max_wait
        while self.preparing and len(self._queue) < self._max_batch:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                return

    def _next_batch(self) -> List[_QueuedImage]:
        """Remove the next batch from the queue: the oldest image, and later ones of the same shape."""
        queue = self._queue or self._background_queue
        batch: List[_QueuedImage] = []
        others: List[_QueuedImage] = []
        while queue and len(batch) < self._max_batch:
            item = queue.popleft()
            if item.answer.done():
                continue
            fits = not batch or item.image.shape == batch[0].image.shape
            (batch if fits else others).append(item)
        queue.extendleft(reversed(others))
        return batch

    async def _run(self, batch: List[_QueuedImage]) -> None:
        try:
            await self._answer(batch)
        except Exception as error:  # noqa: BLE001 - the callers get the error; the next batch may work
            self.failures += 1
            get_logger().error("a batch of %d failed", len(batch), exc_info=error)
            _fail(batch, error if isinstance(error, ModelError) else _to_model_error(error))

    async def _answer(self, batch: List[_QueuedImage]) -> None:
        started = time.monotonic()
        scores = await self.thread.call(self._scores, [item.image for item in batch])
        finite = np.isfinite(scores).all(axis=1)
        self.failures = 0 if finite.any() else self.failures + 1
        seconds = time.monotonic() - started
        self._observe(len(batch), seconds)
        for item, row, good in zip(batch, scores, finite):
            if not good:
                _fail([item], ModelError("the model's scores are not finite"))
            elif not item.answer.done():
                item.answer.set_result(Scored(row, started - item.submitted_at, seconds))

    def _scores(self, images: List[np.ndarray]) -> np.ndarray:
        """Return probabilities [B, K]; in the model's thread."""
        scores = np.asarray(self._run_model(np.stack(images)))
        if scores.ndim != 2 or len(scores) != len(images):
            raise ModelError(f"the model answered {len(images)} images with an array of shape {list(scores.shape)}")
        return scores


def _to_model_error(error: BaseException) -> ModelError:
    model_error = ModelError(f"{type(error).__name__}: {error}")
    model_error.__cause__ = error
    return model_error


def _fail(items: List[_QueuedImage], error: ModelError) -> None:
    for item in items:
        if not item.answer.done():
            item.answer.set_exception(error)
