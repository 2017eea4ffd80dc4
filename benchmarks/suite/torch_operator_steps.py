"""Steps of one operator of PyTorch, on maps in its channels-last memory format."""

from typing import Any, Callable, Dict, List, Tuple


def prepare(given: Dict[str, Any]) -> None:
    """Import what building needs."""
    import torch

    torch.set_num_threads(given["threads"])
    torch.manual_seed(0)


def build(given: Dict[str, Any]) -> Tuple[Callable[[], None], Dict[str, Any]]:
    """Return a step, and the version."""
    import torch

    compute, inputs = _operator(given["operator"], given["shape"], given["sizes"])
    for one in inputs:
        one.requires_grad_()
    gradient = torch.randn_like(compute(*inputs))

    def step() -> None:
        y = compute(*inputs)
        if given["mode"] == "both":
            torch.autograd.grad(y, inputs, gradient)

    return step, {"version": f"PyTorch {torch.__version__}"}


def _operator(kind: str, shape: List[int], sizes: List[int]) -> Tuple[Callable[..., Any], List[Any]]:
    """Return a function, and its tensors; the first one is the input."""
    import torch
    import torch.nn.functional as F

    channels = shape[-1]
    x = torch.randn(*shape)
    maps = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
    if kind == "depthwise":
        (k,) = sizes
        weights = [torch.randn(channels, 1, k, k), torch.randn(channels)]
        return (lambda x, w, b: F.conv2d(x, w, b, padding=k // 2, groups=channels)), [maps, *weights]
    if kind in ("pointwise", "dense"):
        k = {"pointwise": 1, "dense": 3}[kind]
        weights = [torch.randn(sizes[0], channels, k, k), torch.randn(sizes[0])]
        return (lambda x, w, b: F.conv2d(x, w, b, padding=k // 2)), [maps, *weights]
    if kind == "linear":
        return F.linear, [x, torch.randn(sizes[0], channels), torch.randn(sizes[0])]
    if kind == "GELU":
        return F.gelu, [x]
    if kind == "layer norm":
        return (lambda x, w, b: F.layer_norm(x, (channels,), w, b)), [x, torch.randn(channels), torch.randn(channels)]
    if kind == "batch norm":
        return torch.nn.BatchNorm2d(channels), [maps]
    if kind == "spatial gating":
        return _gating(x)
    return _others(kind, maps, sizes)


def _gating(x: Any) -> Tuple[Callable[..., Any], List[Any]]:
    import torch
    import torch.nn.functional as F

    _, tokens, channels = x.shape

    def gate(u: Any, v: Any, weight: Any, bias: Any, matrix: Any, shift: Any) -> Any:
        normed = F.layer_norm(v, (channels,), weight, bias)
        return u * (torch.matmul(matrix, normed) + shift[:, None])

    parameters = [torch.randn(channels), torch.randn(channels), torch.randn(tokens, tokens), torch.randn(tokens)]
    return gate, [x, torch.randn_like(x), *parameters]


def _others(kind: str, maps: Any, sizes: List[int]) -> Tuple[Callable[..., Any], List[Any]]:
    import torch
    from torch import nn

    batch, channels = maps.shape[:2]
    if kind == "max pooling":
        return nn.MaxPool2d(3, 2, 1), [maps]
    if kind == "residual sum":
        return (lambda x, branch: x + branch), [maps, torch.randn_like(maps)]
    if kind == "weighted sum of three maps":
        weights = [torch.randn(batch, channels, 1, 1) for _ in range(3)]
        others = [torch.randn_like(maps), torch.randn_like(maps)]
        return (lambda h, w, c, a_h, a_w, a_c: h * a_h + w * a_w + c * a_c), [maps, *others, *weights]
    branch = nn.Sequential(
        nn.Conv2d(channels, channels, sizes[0], padding="same", groups=channels), nn.GELU(), nn.BatchNorm2d(channels)
    ).to(memory_format=torch.channels_last)
    return (lambda x: x + branch(x)), [maps]
