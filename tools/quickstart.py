"""From nothing to an exported model: data, training, evaluation, inference, export, prediction.

Every step is a command that a user would type; they are printed again at the end, to be copied and changed.
"""

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

RECIPE = "configs/quick_start/digits_ConvMixer.yaml"
DATA = Path("dataset/digits")
OUTPUT = Path("output/digits")
WEIGHTS = f"-o Global.pretrained_model={OUTPUT}/best_model"
IMAGES = OUTPUT / "handful"
PREDICT = (
    "from ppcls import Predictor; import json, sys; print(json.dumps(Predictor(sys.argv[1]).predict(sys.argv[2])))"
)
STEPS = (
    ("write the data", f"python tools/make_digits.py {DATA}"),
    ("train", f"python tools/train.py -c {RECIPE}"),
    ("evaluate", f"python tools/eval.py -c {RECIPE} {WEIGHTS}"),
    ("predict", f"python tools/infer.py -c {RECIPE} {WEIGHTS} -o Infer.infer_imgs={IMAGES}"),
    ("export", f"python tools/export_model.py -c {RECIPE} {WEIGHTS}"),
    ("predict with the exported model", f"python -c {shlex.quote(PREDICT)} {OUTPUT}/inference {IMAGES}"),
)


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
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            print(f"quickstart: `{command}` ended with exit code {done.returncode}", file=sys.stderr)
            return done.returncode
        outputs[title] = done.stdout
        print(done.stdout.strip(), flush=True)
    return summary(outputs, time.time() - started)


def choose_images() -> None:
    """Put one validation picture of each digit aside."""
    shutil.rmtree(IMAGES, ignore_errors=True)
    IMAGES.mkdir(parents=True)
    for folder in sorted((DATA / "val").iterdir()):
        shutil.copy(sorted(folder.iterdir())[0], IMAGES / f"{folder.name}.png")


def summary(outputs: dict, seconds: float) -> int:
    """Print what came out; return 1 when checkpoint and export disagree."""
    top1 = json.loads(outputs["evaluate"])["top1"]
    checkpoint, exported = (json.loads(outputs[key]) for key in ("predict", "predict with the exported model"))
    same = [answer["class_ids"] for answer in checkpoint] == [answer["class_ids"] for answer in exported]
    right = sum(answer["label_names"][0] == Path(answer["file_name"]).stem for answer in checkpoint)
    print(f"\n=== summary\ntop-1 on {DATA}/val_list.txt: {100 * top1:.2f} %   time: {seconds:.0f} s")
    print(
        f"handful of images: {right} of {len(checkpoint)} right; exported model: {'same' if same else 'OTHER'} answers"
    )
    for what, where in (
        ("data", DATA),
        ("checkpoints (best_model, latest, epoch_N)", OUTPUT),
        ("log, metrics, resolved recipe", f"{OUTPUT}/train.log, metrics.jsonl, config.yaml"),
        ("curves", f"visualdl --logdir {OUTPUT}/vdl"),
        ("predictions", f"{OUTPUT}/predictions.json"),
        ("exported model", f"{OUTPUT}/inference"),
    ):
        print(f"  {what}: {where}")
    print("commands (in this folder, after `source .venv/bin/activate`):")
    for _, command in STEPS:
        print(f"  {command}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
