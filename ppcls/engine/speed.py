"""How fast a model is trained and evaluated, on random images in memory."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import paddle
import paddle.nn.functional as F

from ppcls.arch import BACKBONES, ops
from ppcls.config.schema import AMPSection
from ppcls.engine.amp import MixedPrecision, unused_reason
from ppcls.engine.device import set_device
from ppcls.errors import ConfigError
from ppcls.utils import environment, memory
from ppcls.weights import create_model

_CLASSES = 10  # which labels are drawn does not matter to the speed


@dataclass(frozen=True)
class SpeedOptions:
    """What is measured.

    Attributes:
        model: name of an architecture.
        batch_size: images in a batch.
        image_size: height and width in pixels.
        amp: mixed precision, as ``AMP: {level: O1}``.
        device: as ``Global.device``.
        arguments: constructor arguments of the architecture, such as its depth.
    """

    model: str
    batch_size: int = 8
    image_size: Tuple[int, int] = (224, 224)
    amp: bool = False
    device: str = "auto"
    arguments: Optional[Dict[str, Any]] = None


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        seconds: of each step, in order.
        batch_size: images in a step.
        memory_mib: by how much the largest resident memory exceeds what was in use before the model was built; None
            where the system does not tell.
    """

    seconds: List[float]
    batch_size: int
    memory_mib: Optional[float]

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def images_per_second(self) -> float:
        """Images per second at the median."""
        return self.batch_size / self.median

    @property
    def spread(self) -> float:
        """Half of the distance between the quartiles, as a share of the median."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median


def build_step(options: SpeedOptions, mode: str) -> Callable[[], None]:
    """Return a function that does one step, and returns when the device is done with it.

    A step of "train" is forward pass, cross entropy, backward pass and an update by AdamW; of "infer" it is the forward
    pass.

    Raises:
        ConfigError: no such architecture, or it does not take images of this size; or ``amp`` has no effect here.
        MachineError: there is no such device.
    """
    set_device(options.device)
    height, width = options.image_size
    model = _build(options)
    optimizer = paddle.optimizer.AdamW(1e-3, parameters=model.parameters())
    settings = AMPSection() if options.amp else None
    reason = unused_reason(settings, model)
    if reason is not None:
        raise ConfigError(f"AMP has no effect: {reason}")
    amp = MixedPrecision(settings, model, optimizer)
    images = paddle.rand([options.batch_size, 3, height, width])
    labels = paddle.randint(0, _CLASSES, [options.batch_size])

    def train() -> None:
        with amp.autocast():
            loss = F.cross_entropy(model(images), labels)
        amp.backward(loss)
        amp.step(optimizer)
        loss.item()

    def infer() -> None:
        with paddle.no_grad(), amp.autocast():
            model(images)[0, 0].item()

    model.train() if mode == "train" else model.eval()
    return train if mode == "train" else infer


def _build(options: SpeedOptions) -> paddle.nn.Layer:
    height, width = options.image_size
    arguments = dict(options.arguments or {})
    if options.model in BACKBONES and BACKBONES[options.model].takes("image_size"):
        arguments["image_size"] = [height, width]
    model = create_model(options.model, **arguments)
    model.eval()
    try:
        with paddle.no_grad():
            model(paddle.zeros([1, 3, height, width]))
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ConfigError(f"{options.model} does not take images of {height} x {width} pixels: {reason}") from error
    return model


def measure(options: SpeedOptions, mode: str, seconds: float, memory_before: Optional[int]) -> Speed:
    """Return the times of steps, after two that choose kernels and allocate memory.

    Args:
        mode: "train" or "infer".
        seconds: how long steps are measured.
        memory_before: bytes that were in use before any model was built, see ``Speed.memory_mib``.

    Raises:
        ConfigError, MachineError: as ``build_step``.
    """
    step = build_step(options, mode)
    for _ in range(2):
        step()
    times = time_steps(step, seconds)
    peak = memory.peak_process_memory()
    added = None if memory_before is None or peak is None else (peak - memory_before) / 2**20
    return Speed(times, options.batch_size, added)


def time_steps(step: Callable[[], None], seconds: float, least: int = 3) -> List[float]:
    """Return the seconds of each of as many steps as fit into ``seconds``, but at least ``least``."""
    times: List[float] = []
    started = time.perf_counter()
    while len(times) < least or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return times


def describe(options: SpeedOptions) -> str:
    """Return what is measured, and on what, as lines of text."""
    height, width = options.image_size
    parts = [f"{options.model}: batches of {options.batch_size}, {height} x {width} pixels"]
    parts.append("mixed precision" if options.amp else "float32")
    device = paddle.get_device()
    if device != "cpu":
        return f"{', '.join(parts)}\n{device}, PaddlePaddle {paddle.__version__}"
    threads = os.environ.get(environment.THREADS, "1")
    machine = f"{environment.processor_name()}, threads: {threads}, PaddlePaddle {paddle.__version__}"
    return f"{', '.join(parts)}\n{machine}\n{ops.describe()}"
