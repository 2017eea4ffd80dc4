"""Operators with inputs of usual and odd shapes, for the tests that go through all of them."""

import math
from functools import partial
from types import SimpleNamespace
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

import numpy as np
import paddle

from ppcls.arch import ops

Shape = Optional[Tuple[int, ...]]


class Case(NamedTuple):
    """An operator, and the shapes of the tensors that it takes, None for one that is left out.

    Attributes:
        terms: how many products are summed for an element of the result and of each gradient; empty: the library's
            order of sums is as good as Paddle's.
    """

    name: str
    function: Callable[..., paddle.Tensor]
    shapes: Tuple[Shape, ...]
    terms: Tuple[int, ...] = ()

    def arrays(self, seed: int = 0) -> List[Optional[np.ndarray]]:
        """Return values that float32 holds exactly, as float64."""
        rng = np.random.default_rng(seed)
        arrays = [
            None if s is None else rng.standard_normal(s).astype("float32").astype("float64") for s in self.shapes
        ]
        if self.function is ops.relu or getattr(self.function, "keywords", {}).get("act") == "relu":
            arrays[0][np.abs(arrays[0]) < 0.3] = 0  # where its slope changes
        return arrays


def normalized(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor) -> paddle.Tensor:
    """Return a map normalized by its own statistics."""
    return ops.batch_norm(x, norm_of(weight, bias))


def norm_of(weight: paddle.Tensor, bias: paddle.Tensor) -> Any:
    """Return what a batch norm with these parameters has, and fresh statistics."""
    statistics = {"_mean": paddle.zeros_like(weight).detach(), "_variance": paddle.ones_like(weight).detach()}
    settings = {"training": True, "_momentum": 0.9, "_epsilon": 1e-5, "_use_global_stats": None}
    return SimpleNamespace(weight=weight, bias=bias, **statistics, **settings)


def conv_act_norm(
    x: paddle.Tensor, *parameters: paddle.Tensor, act: str = "gelu", groups: int = 1, residual: bool = False
) -> paddle.Tensor:
    """Return BN(act(conv(x))) (+ x) for weight and bias of a convolution and of a norm; or no bias of the former."""
    weight, *bias, scale, shift = parameters
    geometry = {"_stride": [1], "_updated_padding": [weight.shape[-1] // 2], "_groups": groups}
    convolution = SimpleNamespace(weight=weight, bias=bias[0] if bias else None, **geometry)
    return ops.conv_act_norm(x, convolution, act, norm_of(scale, shift), residual)


def residual_with_scale(x: paddle.Tensor, branch: paddle.Tensor) -> paddle.Tensor:
    """Return x plus 0, 1, 2, ... times each sample's branch."""
    scale = paddle.arange(len(x), dtype=x.dtype).reshape([-1] + [1] * (x.ndim - 1))
    return ops.residual_sum(x, branch, scale)


def weighted(*inputs: paddle.Tensor) -> paddle.Tensor:
    """Return the sum of the maps in the first half times the weights in the second."""
    return ops.weighted_sum(inputs[: len(inputs) // 2], inputs[len(inputs) // 2 :])


def gated(z: paddle.Tensor, *parameters: paddle.Tensor) -> paddle.Tensor:
    """Return what a spatial gating unit computes of the halves z = [u, v], [2, B, n, C]."""
    return ops.spatial_gating(z, ops.GatingParameters(*parameters), 1e-5)


def halves(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor) -> paddle.Tensor:
    """Return a projection's halves, [2, B, n, C], whichever path computes them."""
    y = ops.linear_halves(x, weight, bias)
    return y if y.ndim == 4 else paddle.stack(y.chunk(2, axis=-1))


def layer_norm(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor) -> paddle.Tensor:
    """Return x normalized over the last axis."""
    return ops.layer_norm(x, weight, bias, 1e-5)


def _conv(x: Tuple[int, ...], channels: int, k: int, bias: bool = True, **settings: int) -> Case:
    settings = {"stride": 1, "padding": k // 2, "groups": 1, **settings}
    weight = (channels, x[-1] // settings["groups"], k, k)
    positions = x[0] * x[1] * x[2] // settings["stride"] ** 2
    terms = (k * k * weight[1], k * k * channels // settings["groups"], positions, positions)
    name = f"conv {x} {weight} {settings}{'' if bias else ' no bias'}"
    return Case(name, partial(ops.conv2d_nhwc, **settings), (x, weight, (channels,) if bias else None), terms)


def _depthwise(x: Tuple[int, ...], k: int, **settings: Any) -> Case:
    return _conv(x, x[-1], k, groups=x[-1], **settings)


def _linear(x: Tuple[int, ...], outer: int, bias: bool = True, transposed: bool = False) -> Case:
    weight = (outer, x[-1]) if transposed else (x[-1], outer)
    name = f"linear {x} {weight}{' transposed' if transposed else ''}{'' if bias else ' no bias'}"
    rows = math.prod(x[:-1])
    shapes = (x, weight, (outer,) if bias else None)
    return Case(name, partial(ops.linear, transposed=transposed), shapes, (x[-1], outer, rows, rows))


def _gating(batch: int, tokens: int, channels: int) -> Case:
    shapes = ((2, batch, tokens, channels), (channels,), (channels,), (tokens, tokens), (tokens,))
    terms = (tokens, tokens, batch * tokens * tokens, batch * tokens * tokens, batch * channels, batch * channels)
    return Case(f"gating {shapes[0]}", gated, shapes, terms)


def _halves(x: Tuple[int, ...], channels: int) -> Case:
    rows = x[0] * x[1]
    shapes = (x, (x[-1], 2 * channels), (2 * channels,))
    return Case(f"halves {x} {channels}", halves, shapes, (x[-1], 2 * channels, rows, rows))


def _conv_act_norm(x: Tuple[int, ...], channels: int, k: int, bias: bool = True, **settings: Any) -> Case:
    conv = _conv(x, channels, k, bias, groups=settings.get("groups", 1))
    shapes = (*conv.shapes[: 3 if bias else 2], (channels,), (channels,))
    positions = x[0] * x[1] * x[2]
    terms = (*conv.terms[: 4 if bias else 3], positions, positions)
    return Case(
        f"conv act norm {x} {channels} {k} {bias} {settings}", partial(conv_act_norm, **settings), shapes, terms
    )


def _cycle_linear(x: Tuple[int, ...], outer: int, axis: int, kernel_size: int, bias: bool = True) -> Case:
    cycle = ops.Cycle(axis, kernel_size)
    rows = math.prod(x[:-1])
    shapes = (x, (outer, x[-1]), (outer,) if bias else None)
    return Case(
        f"cycle linear {x} {outer} {cycle}", partial(ops.cycle_linear, cycle=cycle), shapes, (x[-1], outer, rows, rows)
    )


def _weighted(x: Tuple[int, ...], count: int) -> Case:
    shapes = (x,) * count + ((x[0], 1, 1, x[-1]),) * count
    positions = (x[1] * x[2],) * count
    return Case(f"weighted sum of {count} {x}", weighted, shapes, (1, *(1,) * count, *positions))


def _shift(x: Tuple[int, ...], axis: int, kernel_size: int) -> Case:
    return Case(f"shift {x} {axis} {kernel_size}", partial(ops.cycle_shift, axis=axis, kernel_size=kernel_size), (x,))


def _pool(x: Tuple[int, ...], k: int, stride: int, padding: int) -> Case:
    function = partial(ops.max_pool_nhwc, kernel_size=k, stride=stride, padding=padding)
    return Case(f"pool {x} {k} {stride} {padding}", function, (x,))


# One of each, of a usual shape.
USUAL = [
    Case("gelu", ops.gelu, ((2, 5, 48),)),
    Case("relu", ops.relu, ((2, 5, 48),)),
    Case("layer norm", layer_norm, ((2, 5, 48), (48,), (48,))),
    Case("batch norm", normalized, ((4, 6, 6, 32), (32,), (32,))),
    _conv_act_norm((4, 6, 6, 32), 32, 5, groups=32, residual=True),
    _conv_act_norm((4, 6, 6, 32), 48, 1),
    Case("residual", ops.residual_sum, ((3, 6, 6, 32), (3, 6, 6, 32))),
    Case("residual with scale", residual_with_scale, ((3, 9, 32), (3, 9, 32))),
    _weighted((3, 6, 6, 32), 3),
    Case("mean", ops.spatial_mean, ((3, 6, 6, 32),)),
    _pool((2, 8, 8, 32), 3, 2, 1),
    _linear((4, 9, 32), 64),
    _linear((4, 9, 32), 64, transposed=True),
    _conv((2, 8, 8, 32), 48, 3),
    _depthwise((2, 8, 8, 32), 3),
    _depthwise((2, 12, 12, 32), 7),
    _halves((2, 16, 24), 32),
    _gating(2, 16, 32),
    _shift((2, 6, 6, 32), 1, 7),
    _cycle_linear((2, 6, 6, 32), 48, 2, 3),
]
# For each operator: a batch of one, maps of one pixel, channels that are no multiple of a vector's.
ODD = [
    *(Case(f"gelu {shape}", ops.gelu, (shape,)) for shape in [(1,), (1, 1, 1, 5), (3, 7, 11, 13)]),
    *(Case(f"relu {shape}", ops.relu, (shape,)) for shape in [(1,), (3, 7, 11, 13)]),
    *(Case(f"layer norm {s}", layer_norm, (s, s[-1:], s[-1:])) for s in [(3, 1), (1, 1, 5), (3, 7, 4, 17)]),
    *(
        Case(f"batch norm {s}", normalized, (s, s[-1:], s[-1:]))
        for s in [(1, 2, 1, 3), (5, 1, 1, 17), (2, 3, 5, 1), (3, 7, 5, 33)]
    ),
    *(Case(f"residual {s}", ops.residual_sum, (s, s)) for s in [(1,), (3, 7, 11, 13)]),
    *(Case(f"residual with scale {s}", residual_with_scale, (s, s)) for s in [(1, 1), (5, 3, 1, 7), (3, 7, 11, 13)]),
    *(_weighted(*sizes) for sizes in [((1, 1, 1, 1), 1), ((3, 7, 5, 17), 2), ((2, 1, 3, 4), 3)]),
    *(Case(f"mean {shape}", ops.spatial_mean, (shape,)) for shape in [(1, 1, 1, 1), (1, 1, 1, 5), (3, 7, 5, 17)]),
    _pool((1, 1, 1, 5), 3, 2, 1),
    _pool((2, 7, 6, 17), 3, 2, 1),
    _pool((2, 7, 6, 3), 2, 2, 0),
    *(_linear(*sizes) for sizes in [((3,), 5), ((1, 1), 1), ((7, 13), 17, False), ((2, 3, 1, 5), 4)]),
    *(_linear(*sizes) for sizes in [((9, 256), 1), ((64, 1), 40)]),
    *(_linear(*sizes, transposed=True) for sizes in [((9, 256), 1), ((64, 1), 40)]),
    *(_linear(*sizes, transposed=True) for sizes in [((3,), 5), ((7, 13), 17, False), ((2, 3, 1, 5), 1)]),
    _conv((1, 1, 1, 3), 5, 1),
    _conv((2, 7, 5, 3), 17, 3, stride=2),
    _conv((1, 9, 8, 3), 7, 4, stride=4, padding=0),
    _conv((3, 6, 7, 12), 9, 1, bias=False),
    _conv((2, 6, 7, 12), 9, 3, bias=False, groups=3),
    _conv((2, 5, 4, 6), 12, 3, groups=6),  # two results of each channel
    *(_depthwise((2, 7, 5, 17), k, bias=k % 4 == 1) for k in (1, 3, 5, 7, 9)),
    *(_depthwise((1, 1, 1, 3), k) for k in (3, 5, 31)),
    _depthwise((2, 9, 4, 16), 31),
    _depthwise((2, 9, 8, 5), 5, stride=2),
    _depthwise((2, 9, 8, 5), 5, padding=0),
    _depthwise((2, 9, 8, 5), 4, padding=2),
    _depthwise((2, 6, 7, 1024), 3),  # each pixel on a page of memory of its own
    _depthwise((1, 9, 40, 1030), 4, padding=3),
    _depthwise((1, 5, 300, 20), 5),  # a sum over each row
    _depthwise((2, 23, 21, 16), 3, padding=3),
    _depthwise((1, 5, 300, 20), 3, padding=4),  # rows of the result that only zeros reach
    _conv((2, 41, 43, 3), 8, 3, stride=2),  # in bands of rows
    _conv((1, 7, 520, 4), 6, 5, stride=2, padding=6),
    _conv((1, 70, 68, 3), 5, 4, stride=4, padding=0),
    _conv((1, 2, 2000, 3), 4, 1, stride=4, padding=1),  # only zeros
    *(_halves(*sizes) for sizes in [((1, 1, 3), 1), ((3, 5, 7), 17)]),
    *(_gating(*sizes) for sizes in [(1, 1, 1), (1, 9, 5), (3, 7, 17), (3, 4, 1)]),
    *(
        _cycle_linear(*a)
        for a in [
            ((1, 1, 1, 3), 2, 1, 5),
            ((2, 5, 4, 17), 9, 2, 3, False),
            ((3, 2, 7, 4), 8, 1, 9),
            ((2, 3, 4, 1), 5, 1, 3),
        ]
    ),
    *(_shift(*sizes) for sizes in [((1, 1, 1, 3), 1, 5), ((2, 3, 5, 17), 2, 9), ((2, 5, 4, 12), 1, 4)]),
]
CASES = [*USUAL, *ODD]


def tensors(arrays: List[Optional[np.ndarray]], dtype: str = "float32") -> List[Optional[paddle.Tensor]]:
    """Return tensors that need gradients."""
    return [None if a is None else paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in arrays]


def results(function: Callable[..., paddle.Tensor], inputs: List[Optional[paddle.Tensor]], seed: int = 1):
    """Return the result and the inputs' gradients (or None) for a random gradient of the result, as arrays."""
    y = function(*inputs)
    if not y.stop_gradient:
        dy = np.random.default_rng(seed).standard_normal(y.shape).astype("float32")
        y.backward(paddle.to_tensor(dy.astype(y.numpy().dtype)))
    gradients = [None if x is None or x.grad is None else x.grad.numpy() for x in inputs]
    return [y.numpy(), *gradients]
