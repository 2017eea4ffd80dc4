"""The metrics at ``/metrics``, for Prometheus."""

from __future__ import annotations

from typing import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """All of the server's metrics, in a registry of their own.

    Args:
        queue: returns how many images wait for the model.
        in_flight: returns how many requests are in the server.
        buffered: returns the bytes of bodies and fetched images in memory.
    """

    def __init__(self, queue: Callable[[], float], in_flight: Callable[[], float], buffered: Callable[[], float]):
        disable_created_metrics()  # the start time of each counter, of no use here
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "ppcls_requests", "Requests; 499: the client left", ["path", "code"], registry=registry
        )
        self._seconds = Histogram(
            "ppcls_request_seconds",
            "From a request's head to its answer",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.images = Counter("ppcls_images", "Images by what became of them", ["result"], registry=registry)
        self._batch = Histogram("ppcls_batch_images", "Images in a batch", buckets=_SIZES, registry=registry)
        self._model = Histogram("ppcls_model_seconds", "A batch in the model", buckets=_SECONDS, registry=registry)
        for name, text, value in (
            ("ppcls_queue_images", "Images that wait for the model", queue),
            ("ppcls_requests_in_flight", "Requests in the server", in_flight),
            ("ppcls_buffered_bytes", "Bodies and fetched images in memory", buffered),
        ):
            Gauge(name, text, registry=registry).set_function(value)
        ProcessCollector(registry=registry)

    def observe_request(self, path: str, code: int, seconds: float) -> None:
        """Record a request that has ended."""
        self._requests.labels(path, str(code)).inc()
        self._seconds.labels(path).observe(seconds)

    def observe_batch(self, size: int, seconds: float) -> None:
        """Record a batch that has run."""
        self._batch.observe(size)
        self._model.observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
