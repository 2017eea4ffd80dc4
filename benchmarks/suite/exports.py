"""Exported models in all runtimes, by ``benchmarks/inference_speed.py``: a part of the suite "infer"."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any, Dict, List

from benchmarks.suite.processes import ROOT
from benchmarks.suite.results import Table, write

_SMALL = ("ConvMixer_256_8",)  # of small images: not measured there


def run(options: argparse.Namespace) -> None:
    """Measure, print and write."""
    names = [name for name in options.models or [] if name not in _SMALL]
    script = ROOT / "benchmarks" / "inference_speed.py"
    command = [sys.executable, str(script), *names, "--rounds", str(options.rounds), "--threads", str(options.threads)]
    command += ["--seconds", str(options.seconds)]
    if options.torch_python is not None and options.timm:
        command += ["--torch-python", options.torch_python]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    lines: List[Dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    write(
        options.output, "infer_exports", " ".join(command[1:]), {line["name"]: line for line in lines}, [_table(lines)]
    )


def _table(lines: List[Dict[str, Any]]) -> Table:
    rows = [
        [line["name"], runtime, *(f"{rate:.3g}" for rate in rates.values())]
        for line in lines
        for runtime, rates in line["images/s"].items()
    ]
    batches = [f"batch {size}" for size in next(iter(lines[0]["images/s"].values()))]
    return Table("Exported models, images/s", ["model", "runtime", *batches], rows)
