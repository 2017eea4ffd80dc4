"""Events of the project's own operators for ``paddle.profiler``, which sees only what they call of Paddle's."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator

from paddle import profiler
from paddle.autograd import PyLayer

OPERATOR = "operator: "  # what the names of these events begin with


@contextlib.contextmanager
def named_operators() -> Iterator[None]:
    """Record the forward and backward pass of each operator of this project under its name."""
    with contextlib.ExitStack() as stack:
        for operator in PyLayer.__subclasses__():
            if operator.__module__.partition(".")[0] != "ppcls":
                continue
            for method in ("forward", "backward"):
                original = vars(operator)[method]
                stack.callback(setattr, operator, method, original)
                setattr(operator, method, staticmethod(_recorded(operator.__name__, original.__func__)))
        yield


def _recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **settings: Any) -> Any:
        with profiler.RecordEvent(OPERATOR + name):
            return function(*arguments, **settings)

    return call
