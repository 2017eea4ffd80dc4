"""The suite "startup": from a command to its first step or answer, by ``benchmarks/startup.py``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.suite.processes import ROOT
from benchmarks.suite.results import Table, write

SCRIPT = ROOT / "benchmarks" / "startup.py"


def run(options: argparse.Namespace) -> None:
    """Measure, print and write."""
    if not SCRIPT.exists():
        raise SystemExit(f"{SCRIPT} is not there")
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout[done.stdout.index("{") :])
    rows = [[str(name), json.dumps(value)] for name, value in found.items()]
    write(
        options.output,
        "startup",
        "python benchmarks/startup.py",
        found,
        [Table("Start-up", ["what", "measured"], rows)],
    )
