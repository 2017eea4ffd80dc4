"""The work of the server for a request, without HTTP: decode, batch, answer."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Awaitable, Callable, Collection, Dict, List, NamedTuple, Optional, TypeVar

import numpy as np

from ppcls.errors import DataError
from ppcls.inference.heat_maps import SHUFFLES, shuffled
from ppcls.inference.occlusion import occlude
from ppcls.serving import heat_maps, uploads, url_fetch
from ppcls.serving.batcher import Batcher, Scored
from ppcls.serving.errors import RequestError
from ppcls.serving.limiter import Limiter, Reservation
from ppcls.serving.metrics import Metrics
from ppcls.serving.model import Model
from ppcls.serving.settings import Settings
from ppcls.serving.uploads import Upload
from ppcls.serving.workers import Workers

_FETCHES = 4  # at a time
_MAX_HEAT_MAPS = 4  # in the server at a time; one is computed at a time
_MAX_QUEUED_CELLS = 16  # covered images of an explanation that wait for the model at a time
_SMALL_BODY = 65536  # bytes
_LIVENESS_FACTOR = 3  # times --timeout without progress, after which only a restart helps
_MAX_FAILURES = 5  # in a row, after which only a restart helps
T = TypeVar("T")


class _Classified(NamedTuple):
    scored: Scored
    decode_seconds: float


class Service:
    """The model with its threads, queues and limits. Made within a running event loop.

    Attributes:
        connections: the open connections; the HTTP server puts its collection here.
        max_connections: how many there may be.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model, self.settings = model, settings
        self.connections: Collection[Any] = ()
        self.max_connections = settings.max_connections
        self.open_requests = Limiter(settings.max_connections, "open requests")  # bodies may still arrive
        self.requests = Limiter(settings.queue, "requests")
        self.images = Limiter(settings.queue, "images")
        self.memory = Limiter(settings.max_buffer, "bytes of bodies")
        self.draining = False
        self.metrics = Metrics(
            lambda: self.batcher.queue_length, lambda: self.open_requests.used, lambda: self.memory.used
        )
        self.batcher = Batcher(model.run, settings.max_batch, settings.max_wait, self.metrics.observe_batch)
        self._decoders = Workers(settings.decode_threads, "decode")
        self._fetchers = Workers(_FETCHES, "fetch")
        self._heat_maps = Limiter(_MAX_HEAT_MAPS, "heat maps")
        self._heat_map_lock = asyncio.Lock()

    def readiness_problem(self) -> Optional[str]:
        """Return why no requests should be sent here, None when they should."""
        if self.draining:
            return "the server is shutting down"
        if not self.batcher.alive:
            return "the model is not running"
        return self._failure_problem() or self._stall_problem(self.settings.timeout)

    def liveness_problem(self) -> Optional[str]:
        """Return why the process should be restarted, None when it should not."""
        if not self.batcher.alive:
            return "the model is not running"
        return self._failure_problem() or self._stall_problem(_LIVENESS_FACTOR * self.settings.timeout)

    def _failure_problem(self) -> Optional[str]:
        """Return what to say of a model that fails on every input, as on a lost GPU; None for a model that works."""
        failures = self.batcher.failures
        return f"the model failed {failures} times in a row" if failures >= _MAX_FAILURES else None

    def _stall_problem(self, seconds: float) -> Optional[str]:
        if self.batcher.thread.busy_for > seconds:
            return f"the model has not answered for {seconds:g} s"
        if self._decoders.stuck_for > seconds:
            return f"all decoding threads have been busy with one image each for {seconds:g} s"
        return None

    async def stop(self) -> None:
        """End the threads."""
        await self.batcher.stop()
        for pool in (self._decoders, self._fetchers):
            pool.stop()

    async def parse(self, body: bytes, content_type: str) -> List[Upload]:
        """Return the images of a body; see ``uploads.parse``."""
        if len(body) < _SMALL_BODY:  # another thread would cost more than it saves
            return uploads.parse(body, content_type, self.settings.max_images)
        return await self._decoders.run(uploads.parse, body, content_type, self.settings.max_images)

    async def predict(self, found: List[Upload], topk: Optional[int]) -> Dict[str, Any]:
        """Return {results, model, milliseconds} for the images of a request.

        Raises:
            RequestError: 422 when none of them can be used, there are fewer classes or thresholds choose them, 429 when
                there is no room for them.
            ModelError: the model failed.
        """
        class_num = self.model.description.class_num
        if topk is not None and self.model.topk is None:
            raise RequestError(422, "topk: this model answers the classes that its thresholds choose; leave topk out")
        if topk is not None and topk > class_num:
            raise RequestError(422, f"topk {topk}: the model has {class_num} classes")
        with self.images.acquired(len(found)):
            done = await _gather([self._classify(upload) for upload in found])
        results: List[Dict[str, Any]] = []
        for upload, outcome in zip(found, done):
            if isinstance(outcome, DataError):
                results.append({"file_name": upload.name, "error": str(outcome)})
            else:
                results.append({"file_name": upload.name, **self.model.answer(outcome.scored.scores, topk)})
        good = [outcome for outcome in done if not isinstance(outcome, DataError)]
        self.metrics.images.labels("ok").inc(len(good))
        self.metrics.images.labels("error").inc(len(done) - len(good))
        answer = {"results": results, "model": self.model.name, "milliseconds": _milliseconds(good)}
        if not good:
            first = results[0]
            raise RequestError(422, f"no image can be used: {first['file_name']}: {first['error']}", details=answer)
        return answer

    async def _classify(self, upload: Upload) -> Any:
        """Return the model's answer for an image, or the DataError of one that cannot be used."""
        started = time.monotonic()
        try:
            with self.memory.reservation() as reservation:
                data = await self._content(upload, reservation)
                with self.batcher.preparing_image():
                    image = await self._decoders.run(self.model.prepare, data)
                del data  # it is not counted any more
        except DataError as error:
            return error
        decode_seconds = time.monotonic() - started
        return _Classified(await self.batcher.submit(image), decode_seconds)

    async def _content(self, upload: Upload, reservation: Reservation) -> bytes:
        """Return an image's bytes, fetched if they are at a URL; ``reservation`` counts what is fetched.

        Raises:
            DataError: the image cannot be had.
            RequestError: 429, there is no room for them.
        """
        if upload.error is not None:
            raise DataError(upload.error)
        if upload.url is None:
            return upload.data
        if not self.settings.allow_urls:
            raise DataError("this server does not fetch URLs (--allow-urls); send the image itself")
        settings = self.settings
        return await self._fetchers.run(
            url_fetch.fetch, upload.url, settings.max_body, settings.url_timeout, url_fetch.is_public, reservation.grow
        )

    async def heat_map(self, found: List[Upload], class_id: Optional[int], grid: int) -> Dict[str, Any]:
        """Return a heat map for the only image of a request.

        Raises:
            RequestError: 404 when heat maps are off, 422 for several images, a broken one or an unknown class,
                429 when too many heat maps are asked for.
            ModelError: the model failed.
        """
        if self.settings.no_saliency:
            raise RequestError(404, "heat maps are switched off on this server (--no-saliency)")
        if len(found) != 1:
            raise RequestError(422, f"a heat map takes one image, not {len(found)}")
        with self._heat_maps.acquired():
            try:
                with self.memory.reservation() as reservation:
                    data = await self._content(found[0], reservation)
                    image = await self._decoders.run(self.model.prepare, data)
                    seen = await self._decoders.run(self.model.preview, data)
                    del data
            except DataError as error:
                raise RequestError(422, f"{found[0].name}: {error}") from None
            async with self._heat_map_lock:
                return await self._compute_heat_map(found[0].name, image, seen, class_id, grid)

    async def _compute_heat_map(
        self, name: str, image: np.ndarray, seen: Optional[np.ndarray], class_id: Optional[int], grid: int
    ) -> Dict[str, Any]:
        started = time.monotonic()
        scores = (await self.batcher.submit(image, background=True)).scores
        class_id = int(scores.argmax()) if class_id is None else class_id
        if not 0 <= class_id < len(scores):
            raise RequestError(422, f"class_id {class_id}: the model has the classes 0 to {len(scores) - 1}")
        room = asyncio.Semaphore(_MAX_QUEUED_CELLS)

        async def score(change: Callable[..., np.ndarray], *arguments: Any) -> float:
            async with room:
                changed = await self._decoders.run(change, *arguments, self.model.channels_last)
                return float((await self.batcher.submit(changed, background=True)).scores[class_id])

        work: List[Awaitable[float]] = [score(occlude, image, grid, cell) for cell in range(grid * grid)]
        work += [score(_shuffled, image, seed) for seed in range(SHUFFLES)]
        changed_scores = await _gather(work)
        drops = scores[class_id] - np.array(changed_scores[: grid * grid]).reshape(grid, grid)
        by_chance = max(changed_scores[grid * grid :])
        whole = float(scores[class_id])
        return {
            "file_name": name,
            "class_id": class_id,
            "label_name": self.model.label(class_id),
            "score": round(whole, 5),
            "heat": [[round(float(drop), 5) for drop in row] for row in drops],
            "image": None if seen is None else await self._decoders.run(heat_maps.data_url, seen, "png"),
            "overlay": await self._decoders.run(heat_maps.draw, seen, drops, whole, by_chance),
            "model": self.model.name,
            "milliseconds": {"total": round(1000 * (time.monotonic() - started), 2)},
        }


def _shuffled(image: np.ndarray, seed: int, channels_last: bool) -> np.ndarray:
    """Return a preprocessed image with its pixels in random order."""
    return shuffled(image[None], seed, channels_last)[0]


async def _gather(work: List[Awaitable[T]]) -> List[T]:
    """Return all results; if one fails or the caller is cancelled, the others are cancelled too."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _milliseconds(done: List[_Classified]) -> Dict[str, float]:
    """Return the longest time of any image for each step."""
    parts = {
        "decode": [item.decode_seconds for item in done],
        "wait": [item.scored.queue_seconds for item in done],
        "model": [item.scored.model_seconds for item in done],
    }
    return {name: round(1000 * max(seconds, default=0.0), 2) for name, seconds in parts.items()}
