"""Contestants, each in a process of its own, measured by turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Sequence

ROOT = Path(__file__).resolve().parents[2]


# Of this process alone: the suite "data" sets them, and ppcls the last one at its start.
_OWN = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MKL_DEBUG_CPU_TYPE")


def inherited_environment() -> Dict[str, str]:
    """Return the environment of processes, without the threads and MKL's code path of this one."""
    return {key: value for key, value in os.environ.items() if key not in _OWN}


@dataclass(frozen=True)
class Contestant:
    """What is measured, under which name.

    Attributes:
        name: as tables show it.
        given: what ``benchmarks.suite.worker`` gets.
        python: the interpreter.
        environment: variables besides those of this process.
    """

    name: str
    given: Dict[str, Any]
    python: str = sys.executable
    environment: Dict[str, str] = field(default_factory=dict)


class Worker:
    """A process that measures one contestant whenever it is told to. Its methods raise SystemExit if it fails.

    Args:
        contestant: what it measures.
        threads: how many it may use.
    """

    def __init__(self, contestant: Contestant, threads: int) -> None:
        self.name = contestant.name
        given = {**contestant.given, "threads": threads}
        chosen = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads), **contestant.environment}
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115  as long as the process
        self._process = subprocess.Popen(
            [contestant.python, "-W", "ignore", "-m", "benchmarks.suite.worker", json.dumps(given)],
            cwd=ROOT,
            env={**inherited_environment(), **chosen},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def facts(self) -> Dict[str, Any]:
        """Wait until the process can measure; return what it says about itself."""
        return self._read()

    def measure(self, seconds: float) -> Dict[str, Any]:
        """Return the seconds of each step of about so many seconds, and the peak memory so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._errors.close()

    def _read(self) -> Dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise SystemExit(f"{self.name} failed:\n{self._errors.read()}")
        found: Dict[str, Any] = json.loads(line)
        return found


def measure_by_turns(
    contestants: Sequence[Contestant], rounds: int, seconds: float, threads: int
) -> Dict[str, Dict[str, Any]]:
    """Return what was measured of each contestant: facts, the seconds of all steps by round, and the peak memory.

    The contestants take turns, so that whatever else the machine does hits them alike.
    """
    workers: List[Worker] = []
    try:
        for contestant in contestants:
            workers.append(Worker(contestant, threads))
        found: Dict[str, Dict[str, Any]] = {
            worker.name: {"facts": worker.facts(), "rounds": [], "peak_mib": None} for worker in workers
        }
        for _ in range(rounds):
            for worker in workers:
                measured = worker.measure(seconds)
                found[worker.name]["rounds"].append([round(second, 6) for second in measured["seconds"]])
                found[worker.name]["peak_mib"] = measured["peak_mib"]
        return found
    finally:
        for worker in workers:
            worker.close()
