"""The options of an export beside the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ppcls.errors import ConfigError
from ppcls.utils import environment

OPSETS = range(13, 22)  # paddle2onnx 2.1.0 aborts the process at 22, and cannot express GELU's parts below 13
MAX_EXAMPLES = 50  # the server's page shows them all


@dataclass(frozen=True)
class Options:
    """What to write beside Paddle's files, and how Paddle computes.

    Attributes:
        bf16: let Paddle Inference compute in bfloat16.
        onnx: also write an ONNX model; so do self_contained, fp16 and int8.
        opset: version of ONNX's operators.
        self_contained: for each ONNX model also one that takes pixels and normalizes them itself.
        fp16: also an ONNX model that computes in float16.
        int8: also an ONNX model that is quantized with images of ``calibration``.
        calibration: a folder of images; None takes the recipe's training set.
        calibration_images: how many of them.
        max_drop: by how much the top-1 accuracy may fall by quantization, from 0 to 1.
        image_size: [height, width] to export for; None takes the recipe's.
        examples: pictures of the evaluation set to put into the export, for the server's page; at most 50.

    Raises:
        ConfigError: a value is out of range, or two options exclude each other.
    """

    bf16: bool = False
    onnx: bool = False
    opset: int = 17
    self_contained: bool = False
    fp16: bool = False
    int8: bool = False
    calibration: Optional[str] = None
    calibration_images: int = 128
    max_drop: float = 0.01
    image_size: Optional[Tuple[int, int]] = None
    examples: int = 0

    def __post_init__(self) -> None:
        if self.bf16 and not environment.has_bfloat16():
            raise ConfigError(
                "bf16: this processor does not compute in bfloat16 (avx512_bf16 in /proc/cpuinfo), so the result could "
                "not be compared. Paddle Inference does on processors that have it; ONNX Runtime has float16 and int8"
            )
        if self.opset not in OPSETS:
            raise ConfigError(f"opset {self.opset}: from {OPSETS[0]} to {OPSETS[-1]} can be written")
        if self.calibration_images < 1:
            raise ConfigError(f"calibration_images: expected a positive number, got {self.calibration_images}")
        if not 0 <= self.max_drop <= 1:
            raise ConfigError(f"max_drop: expected a share of the images, from 0 to 1, got {self.max_drop:g}")
        if self.calibration is not None and not self.int8:
            raise ConfigError("calibration: only int8 needs images to be calibrated on")
        if self.image_size is not None and min(self.image_size) < 1:
            raise ConfigError(f"image_size: expected positive numbers, got {list(self.image_size)}")
        if not 0 <= self.examples <= MAX_EXAMPLES:
            raise ConfigError(f"examples: from 0 to {MAX_EXAMPLES} pictures, got {self.examples}")

    @property
    def any_onnx(self) -> bool:
        """Whether an ONNX model is written."""
        return self.onnx or self.self_contained or self.fp16 or self.int8
