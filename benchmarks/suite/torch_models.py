"""Models in PyTorch to compare with: ConvMixer and gMLP after their papers, ConvMLP and CycleMLP by their authors.

They are built under the interpreter of ``--torch-python``. The authors' code is in the folders of ``--convmlp-code``
(https://github.com/SHI-Labs/Convolutional-MLPs) and ``--cyclemlp-code`` (https://github.com/ShoufaChen/CycleMLP, which
needs timm and torchvision).
"""

from __future__ import annotations

import sys
import types
from typing import Any, Callable, Dict

import torch
from torch import nn


class _Residual(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


def conv_mixer(dim: int, depth: int, kernel_size: int, patch_size: int, class_num: int) -> nn.Module:
    """Return a ConvMixer. Source: https://arxiv.org/abs/2201.09792, section 2."""

    def normalized(conv: nn.Module) -> nn.Sequential:
        return nn.Sequential(conv, nn.GELU(), nn.BatchNorm2d(dim))

    layers = [normalized(nn.Conv2d(3, dim, patch_size, patch_size))]
    for _ in range(depth):
        depthwise = nn.Conv2d(dim, dim, kernel_size, groups=dim, padding="same")
        layers += [nn.Sequential(_Residual(normalized(depthwise)), normalized(nn.Conv2d(dim, dim, 1)))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dim, class_num))


class _SpatialGating(nn.Module):
    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels // 2)
        self.projection = nn.Linear(tokens, tokens)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        u, v = z.chunk(2, dim=-1)
        return u * self.projection(self.norm(v).transpose(1, 2)).transpose(1, 2)


class _GMLP(nn.Module):
    def __init__(self, dim: int, depth: int, image_size: int, class_num: int) -> None:
        super().__init__()
        patch_size, expansion = 16, 6
        tokens = (image_size // patch_size) ** 2
        self.stem = nn.Conv2d(3, dim, patch_size, patch_size)
        self.blocks = nn.Sequential(
            *(
                _Residual(
                    nn.Sequential(
                        nn.LayerNorm(dim),
                        nn.Linear(dim, expansion * dim),
                        nn.GELU(),
                        _SpatialGating(expansion * dim, tokens),
                        nn.Linear(expansion * dim // 2, dim),
                    )
                )
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, class_num)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


def g_mlp(dim: int, depth: int, image_size: int, class_num: int) -> nn.Module:
    """Return a gMLP. Source: https://arxiv.org/abs/2105.08050, section 2."""
    return _GMLP(dim, depth, image_size, class_num)


def authors_conv_mlp(folder: str) -> nn.Module:
    """Return ConvMLP-S as its authors wrote it."""
    sys.path.insert(0, folder)
    from src.convmlp import convmlp_s

    return convmlp_s(pretrained=False, progress=False)


def authors_cycle_mlp(folder: str) -> nn.Module:
    """Return CycleMLP-B1 as its authors wrote it, for timm as it was then."""
    import timm.layers

    registry = types.ModuleType("timm.models.registry")
    registry.register_model = lambda function: function  # type: ignore[attr-defined]
    helpers = types.ModuleType("timm.models.layers.helpers")
    helpers.to_2tuple = timm.layers.to_2tuple  # type: ignore[attr-defined]
    old = {
        "timm.models.layers": timm.layers,
        "timm.models.layers.helpers": helpers,
        "timm.models.registry": registry,
    }
    sys.modules.update(old)
    sys.path.insert(0, folder)
    import cycle_mlp

    cycle_mlp.deform_conv2d_tv = _in_float32(cycle_mlp.deform_conv2d_tv)
    return cycle_mlp.CycleMLP_B1()


def _in_float32(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a function that computes in float32: torchvision has no deformable convolution in bfloat16 on CPUs."""

    def call(*tensors: Any, **settings: Any) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return function(*(_float(x) for x in tensors), **{name: _float(x) for name, x in settings.items()})

    return call


def _float(x: Any) -> Any:
    return x.float() if isinstance(x, torch.Tensor) else x


TIMM = {"ConvMixer_1024_20": "convmixer_1024_20_ks9_p14", "gMLP_S16": "gmlp_s16_224"}


def build(name: str, size: int, sources: Dict[str, str]) -> nn.Module:
    """Return the model to compare with one of ours.

    Args:
        size: side of the images, in pixels.
        sources: folders of the authors' code, by "convmlp" and "cyclemlp"; "timm" instead of the models here.
    """
    if "timm" in sources:
        import timm

        return timm.create_model(TIMM[name])
    builders: Dict[str, Callable[[], nn.Module]] = {
        "ConvMixer_256_8": lambda: conv_mixer(256, 8, 5, 2, 10),
        "ConvMixer_1024_20": lambda: conv_mixer(1024, 20, 9, 14, 1000),
        "gMLP_S16": lambda: g_mlp(256, 30, size, 1000),
        "ConvMLP_S": lambda: authors_conv_mlp(sources["convmlp"]),
        "CycleMLP_B1": lambda: authors_cycle_mlp(sources["cyclemlp"]),
    }
    return builders[name]()
