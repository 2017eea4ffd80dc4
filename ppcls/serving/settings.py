"""The server's settings. The command line's options are made from these fields."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Optional, Tuple

from ppcls.errors import ConfigError
from ppcls.utils.environment import MAX_THREADS

MEGABYTE = 2**20


def _option(default: Any, text: str, low: Optional[float] = None, high: Optional[float] = None) -> Any:
    return field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """All options of ``ppcls serve``; see ``help`` in each field's metadata.

    Raises:
        ConfigError: a value is out of its bounds, or two do not fit together.
    """

    model: str
    host: str = _option("127.0.0.1", "address to listen on; 0.0.0.0 for other machines")
    port: int = _option(8000, "0 takes a free one and prints it", 0, 65535)
    backend: str = _option("auto", "runtime: paddle, onnx, openvino, or auto for the fastest that is there")
    device: str = _option("auto", "cpu, gpu, gpu:1, or auto for a GPU where the runtime can use one")
    precision: Optional[str] = _option(
        None,
        "float32; with the runtime openvino bfloat16, or auto to choose; default: as exported",
    )
    threads: Optional[int] = _option(
        None, "CPU threads of the model; default: OMP_NUM_THREADS, or all cores", 1, MAX_THREADS
    )
    decode_threads: int = _option(2, "threads that decode images", 1, 64)
    topk: Optional[int] = _option(None, "classes in an answer, at most all; default: as exported", 1, 1_000_000)
    unsure_margin: float = _option(
        0.4, "the page marks an answer as unsure if its probability is less than this above the second one's", 0, 1
    )
    max_batch: int = _option(32, "images that go through the model together", 1, 4096)
    max_wait: float = _option(0.005, "seconds that a batch waits for images that are being decoded", 0, 10)
    queue: int = _option(512, "images, and requests that have arrived, at a time; more are answered 429", 1, 1_000_000)
    max_images: int = _option(32, "images in one request", 1, 100_000)
    max_body_mb: float = _option(32.0, "megabytes of one request's body", 0.001, 4096)
    max_buffer_mb: float = _option(
        256.0, "megabytes of all bodies and fetched images; more are answered 429", 0.001, 1_000_000
    )
    max_pixels: int = _option(64_000_000, "pixels of one image", 1, 2**28)
    max_connections: int = _option(16_384, "open connections; more are answered 503", 1, 1_000_000)
    read_timeout: float = _option(30.0, "seconds in which a request's head, then its body, must arrive", 0.01, 3600)
    timeout: float = _option(30.0, "seconds in which a request that has arrived is answered, else 503", 0.01, 3600)
    keep_alive: float = _option(5.0, "seconds that an idle connection stays open", 0, 3600)
    drain: float = _option(0.5, "seconds between SIGTERM and the end of listening: /ready answers 503", 0, 600)
    shutdown_timeout: float = _option(30.0, "seconds after which the rest is given up at the end", 0.1, 3600)
    api_key: Optional[str] = _option(None, "key that requests must carry; better in PPCLS_API_KEY: others see options")
    open_metrics: bool = _option(False, "/metrics needs no API key")
    cors: Tuple[str, ...] = _option(
        (), "origins of other sites' pages that may use the server, or '*'; may be repeated"
    )
    allow_urls: bool = _option(False, "fetch images from public addresses that requests name")
    url_timeout: float = _option(10.0, "seconds to fetch one of them", 0.01, 600)
    no_saliency: bool = _option(False, "no heat maps (one costs 50 images and more)")

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            _check_bounds(option, getattr(self, option.name))
        if self.max_images > self.queue:
            raise ConfigError(f"--max-images {self.max_images}: more than --queue {self.queue}, so never accepted")
        if self.max_body_mb > self.max_buffer_mb:
            raise ConfigError(f"--max-body-mb {self.max_body_mb:g}: more than --max-buffer-mb {self.max_buffer_mb:g}")
        if self.api_key is not None and not self.api_key.isascii():
            raise ConfigError("--api-key (or PPCLS_API_KEY): not only ASCII characters, as HTTP needs; choose another")
        if self.api_key is not None and (not self.api_key.strip() or not self.api_key.isprintable()):
            raise ConfigError("--api-key (or PPCLS_API_KEY): empty, or not printable")
        if self.api_key is not None and self.api_key != self.api_key.strip():
            raise ConfigError("--api-key (or PPCLS_API_KEY): blanks at its ends, which HTTP cuts off; remove them")
        for origin in self.cors:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise ConfigError(f"--cors {origin}: an origin is like https://example.org, or '*'")

    @property
    def max_body(self) -> int:
        """Return the largest body, in bytes."""
        return int(self.max_body_mb * MEGABYTE)

    @property
    def max_buffer(self) -> int:
        """Return the size of all bodies together, in bytes."""
        return int(self.max_buffer_mb * MEGABYTE)


def _check_bounds(option: dataclasses.Field, value: Any) -> None:
    low, high = option.metadata.get("low"), option.metadata.get("high")
    if low is None or value is None:
        return
    if not math.isfinite(value) or not low <= value <= high:
        name = option.name.replace("_", "-")
        raise ConfigError(f"--{name} {value}: must be from {low:.12g} to {high:.12g}")
