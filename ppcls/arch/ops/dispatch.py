"""Which path an operator takes: oneDNN's kernels on a CPU, or Paddle's own expression."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from typing import Iterator, NamedTuple, Optional

import paddle

from ppcls.arch.ops import gradients, onednn
from ppcls.errors import ConfigError
from ppcls.registry import suggest

CHOICE = "PPCLS_CPU_OPS"  # environment variable
_CHOICES = ("auto", "onednn", "plain")
_here = threading.local()  # what holds in this thread


def uses_onednn(*tensors: Optional[paddle.Tensor]) -> bool:
    """Return whether an operator on these tensors computes by oneDNN's kernels; None is left out.

    They take float32 tensors on the CPU that are not empty. Graphs that are traced, for an export or by ``to_static``,
    contain Paddle's own operators.
    """
    return (
        paddle.in_dynamic_mode()
        and not getattr(_here, "plain", False)
        and all(x is None or _is_suitable(x) for x in tensors)
        and available()
    )


def _is_suitable(x: paddle.Tensor) -> bool:
    return x.dtype == paddle.float32 and x.place.is_cpu_place() and 0 not in x.shape


@functools.cache
def available() -> bool:
    """Return whether oneDNN's kernels are used on this machine.

    Raises:
        ConfigError: ``PPCLS_CPU_OPS`` has no known value, or is ``onednn`` where the library cannot be used.
    """
    chosen = choice()
    if chosen == "plain":
        return False
    try:
        onednn.load()
    except onednn.UnavailableError as error:
        if chosen == "onednn":
            raise ConfigError(f"{CHOICE}=onednn: {error}; leave {CHOICE} unset to use Paddle's operators") from None
        return False
    gradients.observe()
    return True


def choice() -> str:
    """Return what ``PPCLS_CPU_OPS`` says: "auto", "onednn" or "plain".

    Raises:
        ConfigError: it has another value.
    """
    value = os.environ.get(CHOICE) or "auto"
    if value not in _CHOICES:
        raise ConfigError(f"{CHOICE}={value}: must be one of {', '.join(_CHOICES)}{suggest(value, _CHOICES)}")
    return value


def describe() -> str:
    """Return a line for the log: which kernels compute on the CPU, and why."""
    chosen = choice()
    reason = f"chosen here, override with {CHOICE}" if chosen == "auto" else f"set by the user with {CHOICE}"
    if available():
        return f"CPU operators: oneDNN {onednn.load().version} ({reason})"
    if chosen == "auto":
        try:
            onednn.load()
        except onednn.UnavailableError as error:
            reason = str(error)
    return f"CPU operators: Paddle's own ({reason})"


@contextlib.contextmanager
def plain_operators() -> Iterator[None]:
    """Compute by Paddle's operators in this thread: every layer is called, and maps are [B, C, H, W]."""
    before = getattr(_here, "plain", False)
    _here.plain = True
    try:
        yield
    finally:
        _here.plain = before


@contextlib.contextmanager
def bfloat16_products() -> Iterator[None]:
    """Compute matrix products and convolutions on rounded (bfloat16) inputs in this thread; sums stay in float32."""
    before = in_bfloat16()
    _here.bfloat16 = True
    try:
        yield
    finally:
        _here.bfloat16 = before


class Choices(NamedTuple):
    """What holds in a thread; a backward pass that computes a part of the forward pass again needs the same."""

    plain: bool
    bfloat16: bool

    @classmethod
    def now(cls) -> Choices:
        """Return what holds now."""
        return cls(getattr(_here, "plain", False), in_bfloat16())

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Let the same hold in this thread."""
        before = Choices.now()
        _here.plain, _here.bfloat16 = self
        try:
            yield
        finally:
            _here.plain, _here.bfloat16 = before


def in_bfloat16() -> bool:
    """Return whether products are computed in bfloat16 in this thread."""
    return getattr(_here, "bfloat16", False)


def contiguous(x: paddle.Tensor) -> paddle.Tensor:
    """Return ``x`` in row-major memory, which views and gradients need not be in."""
    return x if x.is_contiguous() else x.contiguous()
