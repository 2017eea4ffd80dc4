"""The device that a run computes on, and its processes."""

from __future__ import annotations

import paddle

from ppcls.arch import ops
from ppcls.config.schema import Config
from ppcls.engine.checks import require_single_run
from ppcls.errors import ConfigError, MachineError
from ppcls.utils import distributed, environment, gpus, logging


def setup_device(config: Config) -> None:
    """Select the device and the number of CPU threads, and start the process group; a collective.

    After it, only ``Global.log_ranks`` log to the console.

    Raises:
        ConfigError: the recipe uses what this version, or this device, does not have.
        MachineError: no such device, or the processes cannot be connected.
    """
    require_single_run(config)
    set_device(config.Global.device)
    _set_threads(config)
    device = paddle.get_device()
    if config.Arch.use_sync_bn and device == "cpu" and distributed.world_size() > 1:
        raise ConfigError(
            f"{config.where('Arch', 'use_sync_bn')}: Arch.use_sync_bn: not available on CPUs; turn it off with "
            f"-o Arch.use_sync_bn=false (running statistics are averaged over the processes anyway)"
        )
    distributed.init(device)
    if distributed.world_size() > 1:
        logging.setup(console=logs_to_console(config))


def _set_threads(config: Config) -> None:
    ops.reset_threads()
    count = config.Global.cpu_threads
    if isinstance(count, str):  # auto
        return
    if not ops.can_set_threads():
        raise ConfigError(
            f"{config.where('Global', 'cpu_threads')}: Global.cpu_threads: cannot be set with this build of Paddle, "
            f"which has no Intel OpenMP runtime; set {environment.THREADS}={count} instead"
        )
    ops.set_threads(count)


def set_device(name: str) -> str:
    """Select the device that ``Global.device`` names; "auto" is a GPU where Paddle can use one, else the CPU.

    Raises:
        MachineError: this build of Paddle, or this machine, has no such device.
    """
    missing = gpus.problem() if name in ("auto", "gpu") else None
    if name == "auto":
        name = "cpu" if missing else "gpu"
    elif missing:
        raise _unusable(name, missing)
    try:
        return str(paddle.device.set_device(name))
    except (ValueError, RuntimeError) as error:
        raise _unusable(name, str(error).strip().splitlines()[-1]) from None


def _unusable(name: str, reason: str) -> MachineError:
    build = "" if name == "gpu" else f", or install the PaddlePaddle build for {name}"
    return MachineError(f"Global.device={name}: not usable here ({reason}); use -o Global.device=cpu{build}")


def logs_to_console(config: Config) -> bool:
    """Return whether this process prints its log to the console."""
    return str(distributed.rank()) in config.Global.log_ranks.replace(" ", "").split(",")
