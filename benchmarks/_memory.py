"""A process's memory, as Linux counts it."""

import re
from pathlib import Path
from typing import Union

MIB = 1 << 10  # of the kernel's kB


def resident(process: Union[int, str] = "self") -> float:
    """Return the MiB that a process, this one by default, uses now."""
    return _read("VmRSS", process)


def peak() -> float:
    """Return the most MiB that were in use, since the start or the last ``restart_peak``."""
    return _read("VmHWM")


def restart_peak() -> None:
    """Let ``peak`` begin anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _read(key: str, process: Union[int, str] = "self") -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    match = re.search(rf"{key}:\s+(\d+)", status)
    assert match is not None
    return int(match[1]) / MIB
