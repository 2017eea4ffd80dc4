"""Kill a training run with SIGKILL at random moments, resume it each time, and compare it with an undisturbed run.

    python benchmarks/kill_resume.py --kills 10

The recipe is the quick start's (its data must exist: python tools/make_digits.py dataset/digits), with a checkpoint
after every update, so that many of the kills hit a write. Prints one JSON object; exit code 1 if any file differs.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("latest.pdparams", "latest.pdopt", "best_model.pdparams", "metrics.jsonl")


def start(folder: Path, epochs: int) -> subprocess.Popen:
    """Start or continue the run in ``folder``."""
    changes = [f"Global.output_dir={folder}", f"Global.epochs={epochs}", "Global.save_every_minutes=0"]
    if (folder / "latest.pdstates").exists() or (folder / "latest.commit").exists():
        changes.append(f"Global.checkpoints={folder}/latest")
    command = [sys.executable, "tools/train.py", "-c", "configs/quick_start/digits_ConvMixer.yaml", "-o", *changes]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> int:
    """Run the experiment; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        calm = Path(temporary) / "calm"
        started = time.time()
        if start(calm, options.epochs).wait():
            raise SystemExit("the undisturbed run failed")
        seconds = time.time() - started
        kills, runs, same = 0, 0, {}
        while kills < options.kills:
            runs += 1
            folder = Path(temporary) / f"killed{runs}"
            # A run keeps its progress, so it ends after a few kills: then the next one is disturbed.
            while kills < options.kills and _killed(start(folder, options.epochs), chance.uniform(0, seconds)):
                kills += 1
            if start(folder, options.epochs).wait():
                raise SystemExit("a resumed run failed")
            for name in FILES:
                same[name] = same.get(name, True) and _digest(calm / name) == _digest(folder / name)
    print(json.dumps({"kills": kills, "runs": runs, "identical": same, "undisturbed_s": round(seconds, 1)}))
    return 0 if all(same.values()) else 1


def _killed(process: subprocess.Popen, moment: float) -> bool:
    """Kill the process after ``moment`` seconds; return False if it had ended by itself."""
    try:
        process.wait(timeout=moment)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
