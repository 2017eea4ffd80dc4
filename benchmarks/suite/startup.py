"""The suite "startup": from a command to its first step or answer, by ``benchmarks/startup.py``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.suite.processes import ROOT
from benchmarks.suite.results import Table, draw_bars, write

SCRIPT = ROOT / "benchmarks" / "startup.py"


def run(options: argparse.Namespace) -> None:
    """Measure, print and write."""
    command = [sys.executable, str(SCRIPT), "--repeats", str(options.rounds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = {name: next(iter(by_clone.values())) for name, by_clone in json.loads(done.stdout).items()}
    header = ["median", "least", "most", "cpu"]
    rows = [[name, *(str(values[column]) for column in header)] for name, values in found.items()]
    table = Table("Seconds from a command to its first result", ["command", *header], rows)
    write(options.output, "startup", "python benchmarks/run.py --suite startup", found, [table])
    medians = {name: {"seconds": values["median"]} for name, values in found.items()}
    draw_bars(options.output / "startup.png", "From a command to its first result", medians, "s")
