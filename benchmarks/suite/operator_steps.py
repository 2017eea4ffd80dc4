"""Steps of one operator of this project, or of Paddle's with ``PPCLS_CPU_OPS=plain``."""

from typing import Any, Callable, Dict, List, Tuple


def prepare(given: Dict[str, Any]) -> None:
    """Import what building needs."""
    from ppcls.utils import environment

    environment.import_paddle()
    import ppcls.arch.ops  # noqa: F401


def build(given: Dict[str, Any]) -> Tuple[Callable[[], None], Dict[str, Any]]:
    """Return a step, and the version."""
    import paddle

    from ppcls.arch import ops

    paddle.seed(0)
    compute, shapes = _operator(given["operator"], given["shape"], given["sizes"])
    inputs = [paddle.randn(shape) for shape in shapes]
    for one in inputs:
        one.stop_gradient = False
    loss = _loss(paddle.randn(compute(*inputs).shape))

    def step() -> None:
        y = compute(*inputs)
        if given["mode"] == "both":
            paddle.grad(loss(y), inputs)

    return step, {"version": f"PaddlePaddle {paddle.__version__}", "operators": ops.describe()}


def _loss(gradient: Any) -> Callable[[Any], Any]:
    """Return a function whose gradient is given: Paddle would copy one that ``paddle.grad`` is called with."""
    import paddle
    from paddle.autograd import PyLayer

    class Loss(PyLayer):
        @staticmethod
        def forward(ctx: Any, y: Any) -> Any:
            return paddle.zeros([1])

        @staticmethod
        def backward(ctx: Any, _: Any) -> Any:
            return gradient

    return Loss.apply


def _operator(kind: str, shape: List[int], sizes: List[int]) -> Tuple[Callable[..., Any], List[List[int]]]:
    """Return a function, and the shapes of its tensors; the first one is the input's."""
    from ppcls.arch import ops

    channels = [shape[-1]]
    if kind in ("depthwise", "pointwise", "dense"):
        return _convolution(kind, shape, sizes)
    if kind == "batch norm":
        from paddle import nn

        norm = nn.BatchNorm2D(*channels)
        return (lambda x: ops.batch_norm(x, norm)), [shape]
    if kind == "max pooling":
        return _max_pooling(shape)
    if kind == "spatial gating":
        parameters = [channels, channels, [shape[1], shape[1]], [shape[1]]]
        return (lambda z, *p: ops.spatial_gating(z, ops.GatingParameters(*p), 1e-5)), [[2, *shape], *parameters]
    if kind == "ConvMixer's half block":
        return _half_block(shape, sizes[0])
    if kind == "weighted sum of three maps":
        weights = [shape[0], 1, 1, *channels]
        return (lambda *tensors: ops.weighted_sum(tensors[:3], tensors[3:])), [shape] * 3 + [weights] * 3
    others: Dict[str, Tuple[Callable[..., Any], List[List[int]]]] = {
        "linear": (ops.linear, [shape, [*channels, *sizes], sizes]),
        "GELU": (ops.gelu, [shape]),
        "layer norm": (lambda x, w, b: ops.layer_norm(x, w, b, 1e-5), [shape, channels, channels]),
        "residual sum": (ops.residual_sum, [shape, shape]),
        "cycle shift": (lambda x: ops.cycle_shift(x, 1, sizes[0]), [shape]),
    }
    return others[kind]


def _convolution(kind: str, shape: List[int], sizes: List[int]) -> Tuple[Callable[..., Any], List[List[int]]]:
    from ppcls.arch import ops

    channels = shape[-1]
    if kind == "depthwise":
        (k,) = sizes
        return (lambda x, w, b: ops.conv2d_nhwc(x, w, b, 1, k // 2, channels)), [shape, [channels, 1, k, k], [channels]]
    k = {"pointwise": 1, "dense": 3}[kind]
    return (lambda x, w, b: ops.conv2d_nhwc(x, w, b, 1, k // 2)), [shape, [sizes[0], channels, k, k], sizes]


def _half_block(shape: List[int], kernel_size: int) -> Tuple[Callable[..., Any], List[List[int]]]:
    from ppcls.arch import ops
    from ppcls.arch.backbone.convmixer import ConvActNorm
    from ppcls.arch.layers import conv2d

    batch, height, width, channels = shape
    convolution = conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
    block = ConvActNorm(convolution, channels, "gelu")
    # Paddle's own operators compute maps [B, C, H, W].
    given = shape if ops.available() else [batch, channels, height, width]
    return (lambda x: block(x, True)), [given]


def _max_pooling(shape: List[int]) -> Tuple[Callable[..., Any], List[List[int]]]:
    from ppcls.arch import ops
    from ppcls.arch.layers.modules import MaxPool2D

    batch, height, width, channels = shape
    # Paddle's own operator pools maps [B, C, H, W].
    return MaxPool2D(3, 2, 1), [shape if ops.available() else [batch, channels, height, width]]
