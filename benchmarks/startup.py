"""Seconds from a command to its first result: the first training step, the first prediction, a server that is ready.

    python benchmarks/startup.py [--repeats 5] [--root CLONE ...] [--only TEXT ...]

Everything is small, so that starting is what takes time: a model that is trained for one epoch on scikit-learn's
digits, its export, and one picture. The commands take turns, after a round that is not counted. Prints one JSON object:
the median, the least and the most in seconds, and the median of the processor time, which other work on the machine
hardly changes. "import paddle" is for comparison. ``--root`` measures the packages of other clones, for before and
after.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Tuple

ROOT = Path(__file__).resolve().parents[1]
RECIPE = "configs/quick_start/digits_ConvMixer.yaml"


def commands(folder: Path) -> Dict[str, Tuple[List[str], str]]:
    """Return what is measured, by name: arguments of Python, and the text that ends the measurement.

    Without a text it is the end of the process.
    """
    image = str(next((folder / "data" / "val").rglob("*.png")))
    ppcls, export = ["-m", "ppcls"], f"{folder}/export"
    train = [*ppcls, *training(folder), f"Global.output_dir={folder}/again", "Global.print_batch_step=1"]
    return {
        "import paddle": (["-c", "import paddle"], ""),
        "train, first step": (train, "[Iter: 1/"),
        "infer RUN": ([*ppcls, "infer", f"{folder}/run", image], ""),
        "infer EXPORT, Paddle": ([*ppcls, "infer", export, image, "--backend", "paddle"], ""),
        "infer EXPORT, ONNX": ([*ppcls, "infer", export, image, "--backend", "onnx"], ""),
        "serve EXPORT, Paddle": ([*ppcls, "serve", export, "--port", "0", "--backend", "paddle"], "serving "),
        "serve EXPORT, ONNX": ([*ppcls, "serve", export, "--port", "0", "--backend", "onnx"], "serving "),
    }


def training(folder: Path) -> List[str]:
    """Return the arguments of a short training."""
    data = [f"DataLoader.{split}.dataset.image_root={folder}/data" for split in ("Train", "Eval")]
    lists = [
        f"DataLoader.{split}.dataset.cls_label_path={folder}/data/{name}_list.txt"
        for split, name in (("Train", "train"), ("Eval", "val"))
    ]
    changes = ["Global.epochs=1", "Optimizer.lr.warmup_epoch=0", "Global.use_visualdl=true"]
    return ["train", "-c", str(ROOT / RECIPE), "-o", *changes, *data, *lists]


def prepare(folder: Path, root: Path) -> None:
    """Write data, a run and its export, with the package in ``root``."""
    run([str(ROOT / "tools" / "make_digits.py"), f"{folder}/data"], root)
    ppcls = ["-m", "ppcls"]
    run([*ppcls, *training(folder), f"Global.output_dir={folder}/run"], root)
    run([*ppcls, "export", f"{folder}/run", "--onnx", "-o", f"Global.save_inference_dir={folder}/export"], root)


def run(arguments: List[str], root: Path) -> None:
    """Run Python, which must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(root.resolve())}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=root
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")


def seconds(arguments: List[str], text: str, root: str) -> Tuple[float, float]:
    """Return how long a command takes to print ``text``, or to end, and how much processor time."""
    path = Path(root).resolve()
    environment = {**os.environ, "PYTHONPATH": str(path)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=path,
    )
    assert process.stdout is not None
    lines: List[str] = []
    with process.stdout:
        for line in process.stdout:
            lines.append(line)
            if text and text in line:
                break
        took = time.perf_counter() - started
        if text:
            process.kill()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if (process.returncode and not text) or (text and text not in lines[-1]):
        raise SystemExit(f"{' '.join(arguments)} failed:\n{''.join(lines)}")
    return took, usage.ru_utime + usage.ru_stime


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--root", type=Path, nargs="+", default=[ROOT], help="clones to compare, which take turns")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="commands whose names contain it")
    parser.add_argument("--work", type=Path, help="keep data, run and export in this folder, or find them there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.work or Path(temporary)).resolve()
        if not (folder / "export").is_dir():
            prepare(folder, options.root[0])
        chosen = {
            name: command for name, command in commands(folder).items() if any(word in name for word in options.only)
        }
        times: Dict[str, Dict[str, List[Tuple[float, float]]]] = {
            name: {str(root): [] for root in options.root} for name in chosen
        }
        turns = [(name, str(root)) for name in chosen for root in options.root] * (options.repeats + 1)
        for number, (name, root) in enumerate(turns):
            took = seconds(*chosen[name], root)
            if number >= len(turns) // (options.repeats + 1):  # the first round is not counted
                times[name].setdefault(root, []).append(took)
    results = {name: {root: figures(values) for root, values in rows.items()} for name, rows in times.items()}
    print(json.dumps(results, indent=1))
    return 0


def figures(times: List[Tuple[float, float]]) -> Dict[str, float]:
    """Return the median, the least and the most, and the median of the processor time."""
    wall, cpu = zip(*times)
    values = {"median": statistics.median(wall), "least": min(wall), "most": max(wall), "cpu": statistics.median(cpu)}
    return {name: round(value, 2) for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
