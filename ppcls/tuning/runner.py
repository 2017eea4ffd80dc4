"""Runs trainings as processes of their own, one or several at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import IO, Any, Callable, Deque, Dict, List, Mapping, Optional, Sequence

import ppcls
from ppcls.engine.signals import InterruptedRunError, SignalHandler
from ppcls.tuning.devices import Slot
from ppcls.utils.logging import get_logger

_POLL_SECONDS = 0.1
_INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
_ERROR = "error: "  # what the message of a command begins with


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        name: for messages.
        arguments: of ``ppcls train``.
        console: the file for what it prints.
    """

    name: str
    arguments: Sequence[str]
    console: Path


@dataclass(frozen=True)
class Ended:
    """How a training has ended.

    Attributes:
        seconds: how long it ran.
        error: why it failed; None if it did not.
        was_interrupted: whether it was asked to stop; it is saved then.
    """

    seconds: float
    error: Optional[str] = None
    was_interrupted: bool = False


def run_all(
    jobs: Sequence[Job],
    slots: Sequence[Slot],
    on_end: Callable[[Job, Ended], None],
    on_poll: Callable[[Sequence[Job]], None] = lambda running: None,
) -> None:
    """Run trainings, as many at a time as there are slots.

    Ctrl-C and SIGTERM let each training finish its batch and save; a second one ends them at once.

    Args:
        on_end: called as soon as one has ended.
        on_poll: called several times a second with those that run.

    Raises:
        InterruptedRunError: asked to stop.
    """
    pending: Deque[Job] = deque(jobs)
    running: Dict[int, _Process] = {}
    signals = _Signals()
    with signals, contextlib.ExitStack() as stack:
        stack.callback(_kill_all, running)
        while (pending and not signals.count) or running:
            for number, slot in enumerate(slots):
                if number not in running and pending and not signals.count:
                    running[number] = _Process(pending.popleft(), slot)
            signals.pass_on(running.values())
            for number, process in list(running.items()):
                ended = process.ended()
                if ended is not None:
                    del running[number]
                    # One that was asked to stop while it still started has ended in its own way.
                    is_cut = signals.count > 0 and ended.error is not None
                    on_end(process.job, replace(ended, error=None, was_interrupted=True) if is_cut else ended)
            on_poll([process.job for process in running.values()])
            time.sleep(_POLL_SECONDS)
    if signals.count:
        raise InterruptedRunError("stopped; continue with: the same command", 128 + signals.number)


def _kill_all(running: Mapping[int, _Process]) -> None:
    for process in running.values():
        process.kill()


class _Process:
    """A training that runs."""

    def __init__(self, job: Job, slot: Slot) -> None:
        self.job = job
        job.console.parent.mkdir(parents=True, exist_ok=True)
        self._output: IO[bytes] = job.console.open("wb")
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ppcls", "train", *job.arguments, *_changes(slot)],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **slot.variables, "PYTHONPATH": _import_path()},
            # Ctrl-C reaches this process only, which passes it on once: a second one would end trainings unsaved.
            start_new_session=True,
        )

    def ended(self) -> Optional[Ended]:
        """Return how it has ended, None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self._output.close()
        seconds = time.monotonic() - self._began
        if code in _INTERRUPTED:
            return Ended(seconds, was_interrupted=True)
        return Ended(seconds, _describe(code, self.job.console) if code else None)

    def interrupt(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()


def _changes(slot: Slot) -> List[str]:
    return ["-o", *slot.changes] if slot.changes else []


def _import_path() -> str:
    """Return PYTHONPATH with this package before any other of its name."""
    here = str(Path(ppcls.__file__).resolve().parents[1])
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([here, before] if before else [here])


def _describe(code: int, console: Path) -> str:
    """Return why a command has failed, from what it printed."""
    if code < 0:
        name = signal.Signals(-code).name
        memory = "; the system may have run out of memory" if code == -signal.SIGKILL else ""
        return f"killed by {name}{memory}"
    text = console.read_text(encoding="utf-8", errors="replace").strip()
    _, found, message = f"\n{text}".rpartition(f"\n{_ERROR}")
    return message if found else f"exit code {code}: {text.splitlines()[-1] if text else 'nothing was printed'}"


class _Signals(SignalHandler):
    """Counts SIGINT and SIGTERM, and passes them on to the trainings."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.number = 0, 0
        self._passed_on = 0

    def _receive(self, number: int, frame: Optional[FrameType]) -> None:
        self.count, self.number = self.count + 1, number
        if self.count == 1:
            get_logger().warning(
                "stopping each training after its batch, and saving it. To stop at once without saving, press Ctrl-C "
                "again"
            )

    def pass_on(self, processes: Any) -> None:
        """Send what has come since the last call."""
        if self._passed_on >= self.count:
            return
        self._passed_on = self.count
        for process in processes:
            if self.count == 1:
                process.interrupt(self.number)
            else:
                process.kill()
