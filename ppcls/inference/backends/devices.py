"""Where an exported model computes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Optional, Tuple, TypeVar

from ppcls.errors import ConfigError, DataError, MachineError
from ppcls.utils.logging import get_logger

T = TypeVar("T")


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
        match = re.fullmatch(r"(auto|cpu|gpu)|gpu:([0-9]{1,4})", str(name))
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


def opened(device: Device, backend: str, missing: Optional[str], load: Callable[[Device], T]) -> Tuple[T, Device]:
    """Return a model loaded on a device, and which one that is.

    Args:
        backend: name of the runtime, for messages.
        missing: why this runtime has no such GPU at all, None where it may have it.
        load: raises a DataError or MachineError if the model cannot be had there.

    Raises:
        DataError: the model cannot be run on the CPU either.
        MachineError: it can, but not on the GPU that is asked for.
    """
    if device.kind == "cpu" or (device.kind == "auto" and missing):
        return load(CPU), CPU
    problem = missing
    if problem is None:
        try:
            return load(device.gpu), device.gpu
        except (DataError, MachineError) as error:
            problem = str(error)
    model = load(CPU)  # raises if it is not the GPU that is to blame, but the model
    if device.kind == "gpu":
        raise MachineError(f"device {device}: the backend {backend} cannot use it: {problem}")
    get_logger().warning("computing on the CPU: %s", problem)
    return model, CPU
