"""What runs in the process that ``tests.helpers.forks`` forks from, which imports this, and in the forked ones."""

import contextlib
import importlib
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from ppcls.cli import main
from ppcls.utils import environment

environment.import_paddle()
for _name in (
    *("commands.evaluate", "commands.export", "commands.infer", "commands.train", "data.loader"),
    *("engine.evaluation", "engine.stages", "engine.trial", "exporting.exporter"),
):
    importlib.import_module(f"ppcls.{_name}")
with contextlib.suppress(ImportError):  # an extra
    importlib.import_module("ppcls.serving.runner")


@dataclass(frozen=True)
class Settings:
    """What a forked process does, see ``tests.helpers.forks.Fork``; ``outputs`` are the files of its two streams."""

    arguments: List[str]
    cwd: str
    environment: Dict[str, str]
    outputs: List[str]
    program: Optional[str]
    limit: Optional[int]


def run(settings):
    """Run a command in this process, which is new, and end the process with its exit code."""
    for number, name in enumerate(settings.outputs, start=1):
        file = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    # Buffered as those of a process whose output is piped.
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", errors="backslashreplace", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(settings.environment)
    os.chdir(settings.cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if settings.limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (settings.limit, settings.limit))
    if settings.program is None:
        sys.exit(main(settings.arguments))
    sys.argv = ["-c", *settings.arguments]
    exec(compile(settings.program, "<string>", "exec"), {"__name__": "__main__"})
