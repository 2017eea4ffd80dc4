"""Choose CPU threads and the matrix library's code path before anything heavy is imported."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import platform
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from ppcls.utils import distributed

THREADS = "OMP_NUM_THREADS"
MAX_THREADS = 1024  # a runtime starts as many as it is told: a typing error would stop the machine
MKL_PATH = "MKL_DEBUG_CPU_TYPE"
_TOO_LATE = "paddle was imported before ppcls: not chosen here"
# As Linux names them. The last two compute with bfloat16.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "amx_int8", "amx_tile", "avx512_bf16", "amx_bf16")
_prepared: List[bool] = []
_applied: Dict[str, str] = {}


def prepare() -> None:
    """Set the thread count and, on AMD processors, MKL's code path, unless the user has set them; once.

    Paddle reads both when it is imported; without the first it uses one thread. On AMD processors the bundled MKL takes
    a slow path although the faster instructions are there: matmul is 2.5 to 4.3 times slower.
    """
    if _prepared:
        return
    _prepared.append(True)
    for key, value in {THREADS: str(threads()), MKL_PATH: _mkl_path()}.items():
        if value is None:
            continue
        if "paddle" in sys.modules:  # it has read them already, and set one thread
            _applied[key] = _TOO_LATE
        elif key not in os.environ or (key == THREADS and _set_by_launcher()):
            os.environ[key] = _applied[key] = value
    # Paddle says it whenever it is imported, also by a file of the user's; nothing is compiled here.
    warnings.filterwarnings("ignore", message="No ccache found")
    os.environ.setdefault("GLOG_minloglevel", "2")  # Paddle's C++ chatter; errors still show


def import_paddle() -> None:
    """Import paddle; hide the warnings that our settings cause."""
    if "paddle" in sys.modules:
        return
    prepare()
    # Before Paddle: version 2.6 exports its zlib, which OpenCV would call, and crash on PNG files.
    importlib.import_module("ppcls.utils.opencv")
    output = io.StringIO()
    with contextlib.redirect_stderr(output), _preserve_sigterm(), _without_garbage_collection():
        importlib.import_module("paddle")
    # Every batch norm that trains prints this once; it is of no use.
    warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")
    for line in output.getvalue().splitlines():
        if not line.startswith(("WARNING: OMP_NUM_THREADS set to", "PLEASE USE OMP_NUM_THREADS WISELY")):
            print(line, file=sys.stderr)


@contextlib.contextmanager
def _preserve_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM: Paddle sets its own, without Python's knowledge."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Leave cyclic garbage: looking for it among the objects of a large import takes a tenth of the import's time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def threads_are_chosen_here() -> bool:
    """Return whether the thread count of this process was chosen here, and not by the user."""
    return THREADS in _applied and _applied[THREADS] != _TOO_LATE


def describe(threads: Optional[str] = None) -> str:
    """Return a line for the log: the thread count and MKL's code path, and who chose them.

    Args:
        threads: what to say of the thread count where it was changed since; None for that of the process.
    """
    parts = []
    for key, name in ((THREADS, "CPU threads"), (MKL_PATH, "MKL code path")):
        if key == THREADS and threads is not None:
            parts.append(f"{name}: {threads}")
            continue
        value = os.environ.get(key)
        source = f"set by the user with {key}" if key not in _applied else f"chosen here, override with {key}"
        if _applied.get(key) == _TOO_LATE:
            parts.append(f"{name}: {value or 'default'} ({_TOO_LATE})")
        else:
            parts.append(f"{name}: {value} ({source})" if value is not None else f"{name}: default")
    return ", ".join(parts)


def cores() -> int:
    """Return how many cores of this machine may be used."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _container_cores()
    return count if quota is None else min(count, max(1, round(quota)))


def threads() -> int:
    """Return this process's share of the cores, of all training processes on this machine."""
    return max(1, cores() // distributed.local_size())


def _set_by_launcher() -> bool:
    """Return whether ``paddle.distributed.launch`` set the thread count, and not the user.

    The launcher imports Paddle, which sets 1 for all of its processes. The environment that the launcher itself was
    started with shows what the user set.
    """
    if not os.environ.get("PADDLE_LOCAL_SIZE") or os.environ.get(THREADS) != "1":
        return False
    try:
        launcher_environment = Path(f"/proc/{os.getppid()}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return not any(entry.startswith(f"{THREADS}=".encode()) for entry in launcher_environment)


def _container_cores() -> Optional[float]:
    """Return the CPU limit of the control group (a container's ``--cpus``), None where there is none."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return float(quota) / float(period) if quota != "max" else None
    except (OSError, ValueError):
        return None


def _mkl_path() -> Optional[str]:
    """Return 7 (AVX-512) or 5 (AVX2) on AMD processors, None elsewhere."""
    text = _processor()
    flags = _flags(text)
    if "AuthenticAMD" not in text:
        return None
    return "7" if "avx512f" in flags else "5" if "avx2" in flags else None


def has_bfloat16() -> bool:
    """Return whether this machine's processor has instructions for bfloat16."""
    return "avx512_bf16" in _flags(_processor())


def processor_name() -> str:
    """Return the name of the processor's model, as far as it is known."""
    lines = [line.partition(":")[2].strip() for line in _processor().splitlines() if line.startswith("model name")]
    return lines[0] if lines else platform.processor() or platform.machine()


def processor_instructions() -> List[str]:
    """Return the processor's instruction sets that matter for speed; none where they are not known."""
    flags = _flags(_processor())
    return [name for name in _INSTRUCTIONS if name in flags]


def _processor() -> str:
    """Return the content of ``/proc/cpuinfo``, an empty string where there is none."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _flags(text: str) -> List[str]:
    return next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
