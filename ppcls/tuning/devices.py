"""Where trainings run beside each other."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence

from ppcls.errors import ConfigError
from ppcls.utils import environment

_CPU = re.compile(r"cpu(?::([1-9]\d{0,2}))?")
_GPUS = re.compile(r"gpu:(\d{1,3}(?:,\d{1,3})*)")


@dataclass(frozen=True)
class Slot:
    """A place for one training at a time.

    Attributes:
        changes: of the recipe, for trainings in it.
        variables: of the environment.
    """

    changes: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def parse_devices(text: Optional[str]) -> List[Slot]:
    """Return a slot for each training that runs at the same time.

    Args:
        text: "cpu:2" for two processes that share the cores, "gpu:0,1" for one process on each of these GPUs; None for
            one at a time, on the device of the recipe.

    Raises:
        ConfigError: it is something else.
    """
    if text is None:
        return [Slot()]
    cpu, gpus = _CPU.fullmatch(text), _GPUS.fullmatch(text)
    if cpu is not None:
        count = int(cpu[1] or 1)
        return [Slot(["Global.device=cpu"], _threads(count)) for _ in range(count)]
    if gpus is not None:
        numbers = gpus[1].split(",")
        if len(set(numbers)) == len(numbers):
            return [Slot(["Global.device=gpu"], {"CUDA_VISIBLE_DEVICES": number}) for number in numbers]
    raise ConfigError(f"--devices {text}: give cpu:N for N processes on the cores, or gpu:0,1 for one on each GPU")


def _threads(processes: int) -> Dict[str, str]:
    """Return each process's share of the cores, unless the user has set the number of threads."""
    if environment.THREADS in os.environ and not environment.threads_are_chosen_here():
        return {}
    return {environment.THREADS: str(max(1, environment.cores() // processes))}
