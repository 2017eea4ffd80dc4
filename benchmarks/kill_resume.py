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
        calm, killed = Path(temporary) / "calm", Path(temporary) / "killed"
        started = time.time()
        if start(calm, options.epochs).wait():
            raise SystemExit("the undisturbed run failed")
        seconds = time.time() - started
        moments = []
        while len(moments) < options.kills:
            process = start(killed, options.epochs)
            moment = chance.uniform(0, seconds)
            try:
                process.wait(timeout=moment)
                break  # it finished before its turn to be killed
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                moments.append(round(moment, 2))
        code = start(killed, options.epochs).wait()
        digests = {name: [_digest(folder / name) for folder in (calm, killed)] for name in FILES}
        same = {name: a == b for name, (a, b) in digests.items()}
        print(json.dumps({"kills": moments, "exit_code": code, "identical": same, "undisturbed_s": round(seconds, 1)}))
        return 0 if all(same.values()) and not code else 1


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
