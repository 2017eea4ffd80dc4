"""Where an exported model computes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ppcls.errors import ConfigError


@dataclass(frozen=True)
class Device:
    """A processor, or an NVIDIA GPU.

    Attributes:
        kind: "cpu", "gpu", or "auto" for a GPU where the runtime can use one, else the CPU.
        index: of the GPU, from 0, among those that CUDA_VISIBLE_DEVICES leaves.
    """

    kind: str
    index: int = 0

    @classmethod
    def parse(cls, name: str) -> Device:
        """Return the device that "auto", "cpu", "gpu" or "gpu:1" names.

        Raises:
            ConfigError: it is another name.
        """
        match = re.fullmatch(r"(auto|cpu|gpu)|gpu:(\d{1,4})", name)
        if match is None:
            raise ConfigError(f"device {name!r}: must be auto, cpu, gpu, or one of several GPUs as gpu:0, gpu:1, ...")
        return cls(match[1] or "gpu", int(match[2] or 0))

    @property
    def gpu(self) -> Device:
        """The GPU that is meant, where there is one."""
        return Device("gpu", self.index)

    def __str__(self) -> str:
        return f"gpu:{self.index}" if self.kind == "gpu" else self.kind


AUTO, CPU = Device("auto"), Device("cpu")
