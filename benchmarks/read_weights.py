"""Seconds to read a 300 MB weight file in each format.

    python benchmarks/read_weights.py                 # files made by this project
    python benchmarks/read_weights.py FILE [FILE...]  # your own, for example written by torch.save

Each file is read several times in turns by a process of its own, so that what the machine does besides hits all alike.
Prints one JSON object: for each file its size, the first read (the file may have to come from the disk), the median of
the others, the time that a plain read of its bytes takes, and the memory that reading took at most (Linux).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READ = """
import re, sys, time
import numpy as np
from pathlib import Path
from ppcls.weights import read_weights
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
start = peak()
begun = time.perf_counter(); arrays = read_weights(sys.argv[1]); read = time.perf_counter() - begun
most = peak() - start
del arrays
begun = time.perf_counter(); Path(sys.argv[1]).read_bytes(); plain = time.perf_counter() - begun
print(read, plain, most / 1024)
"""


def make(folder: Path, megabytes: int) -> list:
    """Write the same random numbers in each format that this project writes."""
    sys.path.insert(0, str(ROOT))
    import numpy as np

    from ppcls.weights.writer import write_weights

    rng = np.random.default_rng(0)
    arrays = {f"layer{i}.weight": rng.standard_normal((512, 512), np.float32) for i in range(megabytes)}
    files = [
        (folder / "w.pth", "torch"),
        (folder / "w.safetensors", "safetensors"),
        (folder / "w.pdparams", "pdparams"),
    ]
    for path, kind in files:
        write_weights(arrays, path, kind)
    return [path for path, _ in files]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or make(Path(folder), options.megabytes)
        runs: dict = {file: [] for file in files}
        for _ in range(options.rounds):
            for file in files:
                command = [sys.executable, "-W", "ignore", "-c", READ, str(file.resolve())]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
                runs[file].append([float(number) for number in done.stdout.split()])
        results = {
            file.name: {
                "megabytes": round(file.stat().st_size / 1e6),
                "first": round(found[0][0], 3),
                "median": round(statistics.median(run[0] for run in found[1:] or found), 3),
                "plain read": round(statistics.median(run[1] for run in found), 3),
                "memory in MB": round(max(run[2] for run in found)),
            }
            for file, found in runs.items()
        }
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
