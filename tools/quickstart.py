"""From nothing to an exported model: data, their check, training, evaluation, inference, export, prediction.

Every step is a command that a user would type; they are printed again at the end, to be copied and changed.
"""

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

RECIPE = "quick_start/digits_ConvMixer"
DATA = Path("dataset/digits")
OUTPUT = Path("output/digits")
IMAGES = OUTPUT / "handful"
STEPS = (
    ("write the data", f"python tools/make_digits.py {DATA}"),
    ("check them", f"ppcls check -c {RECIPE} --out {OUTPUT}/data"),
    ("train", f"ppcls train -c {RECIPE}"),
    ("evaluate", f"ppcls eval {OUTPUT}"),
    ("predict", f"ppcls infer {OUTPUT} {IMAGES}"),
    ("export", f"ppcls export {OUTPUT}"),
    ("predict with the exported model", f"ppcls infer {OUTPUT}/inference {IMAGES}"),
)
MAX_LINES = 12  # of a command's output


def main() -> int:
    """Run all steps; return the exit code of the first that fails."""
    started = time.time()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    outputs = {}
    for title, command in STEPS:
        if title == "predict":
            choose_images()
        print(f"\n=== {title}\n$ {command}", flush=True)
        # Results are on standard output; the log and the progress bar, on standard error, are shown as they come.
        done = subprocess.run(python_command(command), stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"quickstart: `{command}` ended with exit code {done.returncode}", file=sys.stderr)
            return done.returncode
        outputs[title] = done.stdout
        lines = done.stdout.strip().splitlines()
        print("\n".join([*lines[:MAX_LINES], *(["..."] if len(lines) > MAX_LINES else [])]), flush=True)
    return summary(outputs, time.time() - started)


def python_command(command: str) -> list:
    """Return the arguments that run a command with the Python that runs this script."""
    program, *arguments = shlex.split(command)
    return [sys.executable, *(["-m", "ppcls"] if program == "ppcls" else []), *arguments]


def choose_images() -> None:
    """Put one validation picture of each digit aside."""
    shutil.rmtree(IMAGES, ignore_errors=True)
    IMAGES.mkdir(parents=True)
    for folder in sorted((DATA / "val").iterdir()):
        shutil.copy(sorted(folder.iterdir())[0], IMAGES / f"{folder.name}.png")


def summary(outputs: dict, seconds: float) -> int:
    """Print what came out, in twenty lines; return 1 when checkpoint and export disagree."""
    top1 = json.loads(outputs["evaluate"])["top1"]
    checkpoint, exported = (json.loads(outputs[key]) for key in ("predict", "predict with the exported model"))
    same = [answer["class_ids"] for answer in checkpoint] == [answer["class_ids"] for answer in exported]
    right = sum(answer["label_names"][0] == Path(answer["file_name"]).stem for answer in checkpoint)
    print(f"\n=== summary\ntop-1 on {DATA}/val_list.txt: {100 * top1:.2f} %   time: {seconds:.0f} s")
    print(
        f"handful of images: {right} of {len(checkpoint)} right; exported model: {'same' if same else 'OTHER'} answers"
    )
    for what, where in (
        ("report", OUTPUT / "report.html"),
        ("pictures of the data, and what is wrong with them", OUTPUT / "data/report.html"),
        ("weights", OUTPUT / "best_model.pdparams"),
        ("exported model", OUTPUT / "inference"),
    ):
        if where.exists():
            print(f"  {what}: {where}")
    print(f"  log, metrics, resolved recipe: {OUTPUT}/train.log, metrics.jsonl, config.yaml")
    print("commands (in this folder, after `source .venv/bin/activate`):")
    for _, command in STEPS:
        print(f"  {command}")
    print(f"a page to try the model (pip install '.[serve]'):\n  ppcls serve {OUTPUT}")
    print("your own photos, one folder per class:\n  ppcls train photos/")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
