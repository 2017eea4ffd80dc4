"""The limit that models are compared with: a product of two square matrices, by the project's own operator."""

from typing import Any, Callable, Dict, Tuple

SIZE = 2048


def prepare(given: Dict[str, Any]) -> None:
    """Import what building needs."""
    from ppcls.utils import environment

    environment.import_paddle()
    from ppcls.arch import ops  # noqa: F401


def build(given: Dict[str, Any]) -> Tuple[Callable[[], None], Dict[str, Any]]:
    """Return a step of ``2 * SIZE ** 3`` operations in float32, or on inputs rounded to bfloat16."""
    import contextlib

    import paddle

    from ppcls.arch import ops

    paddle.set_device("cpu")
    x, weight, bias = paddle.rand([SIZE, SIZE]), paddle.rand([SIZE, SIZE]), paddle.zeros([SIZE])
    context = ops.bfloat16_products if given["dtype"] == "bfloat16" else contextlib.nullcontext

    def step() -> None:
        with paddle.no_grad(), context():
            ops.linear(x, weight, bias)

    return step, {"operations": 2 * SIZE**3}
