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
        index: the GPU's number from 0, among those that CUDA_VISIBLE_DEVICES leaves.
    """

    kind: str
    index: int = 0

    @classmethod
    def parse(cls, name: str) -> Device:
        """Return the device that "auto", "cpu", "gpu" or "gpu:1" names.

        Raises:
            ConfigError: it is none of these.
        """
        match = re.fullmatch(r"(auto|cpu|gpu)|gpu:([0-9]{1,4})", str(name))
        if match is None:
            raise ConfigError(f"device {name!r}: must be auto, cpu, gpu, or one of several GPUs as gpu:0, gpu:1, ...")
        return cls(match[1] or "gpu", int(match[2] or 0))

    @property
    def gpu(self) -> Device:
        """The GPU that this device names; for "auto" the one to try."""
        return Device("gpu", self.index)

    def __str__(self) -> str:
        return f"gpu:{self.index}" if self.kind == "gpu" else self.kind


AUTO, CPU = Device("auto"), Device("cpu")


def load_on_device(
    device: Device, backend: str, missing: Optional[str], load: Callable[[Device], T]
) -> Tuple[T, Device]:
    """Load a model on a device; return it with the device that it is on.

    Args:
        backend: name of the runtime, for messages.
        missing: why this runtime cannot use the GPU at all, None where it may.
        load: loads the model on a device; raises a DataError or MachineError if that fails.

    Raises:
        DataError: the model cannot be loaded on the CPU either.
        MachineError: it can, but not on the GPU that was asked for.
    """
    if device.kind == "cpu" or (device.kind == "auto" and missing):
        return load(CPU), CPU
    problem = missing
    if problem is None:
        try:
            return load(device.gpu), device.gpu
        except (DataError, MachineError) as error:
            problem = str(error)
    model = load(CPU)  # raises if the model is to blame, and not the GPU
    if device.kind == "gpu":
        raise MachineError(f"device {device}: the backend {backend} cannot use it: {problem}")
    get_logger().warning("computing on the CPU: %s", problem)
    return model, CPU
