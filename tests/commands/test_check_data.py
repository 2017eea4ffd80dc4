"""split-data, check-data and show-data as processes, on real pictures that were spoiled on purpose."""

import json
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np

from tests.commands.scenes import lines, recipe_of
from tests.helpers.images import scene
from tests.helpers.recipes import ROOT


def test_a_clean_data_set_passes(photos, run):
    run("split-data", photos)
    path = recipe_of(photos, Train=photos / "train_list.txt", Eval=photos / "val_list.txt")
    done = run("check-data", "-c", path, "--out", "report")
    assert json.loads(done.stdout) == {"ok": True, "images": {"Train": 32, "Eval": 8}, "counts": {}}
    assert "nothing wrong was found" in (photos.parent / "report" / "report.html").read_text()


def test_a_report_that_cannot_be_written_is_refused_before_the_images_are_read(photos, run):
    run("split-data", photos)
    path = recipe_of(photos, Train=photos / "train_list.txt", Eval=photos / "val_list.txt")
    done = run("check-data", "-c", path, "--out", "/dev/null/x", code=2)
    expected = "error: --out=/dev/null/x: cannot be written to: Not a directory; choose another folder with --out\n"
    assert done.stderr.endswith(expected)


def test_everything_wrong_is_found(photos, run):
    run("split-data", photos)
    train, val = photos / "train_list.txt", photos / "val_list.txt"
    kept = lines(train)[0][0]
    shutil.copy(photos / kept, photos / "copy.jpg")
    picture = cv2.imread(str(photos / lines(train)[1][0]))
    cv2.imwrite(str(photos / "near.jpg"), cv2.resize(picture, None, fx=0.8, fy=0.8), [1, 70])
    data = (photos / lines(train)[2][0]).read_bytes()
    (photos / "cut.jpg").write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(photos / "grey.png"), scene(100)[:, :, 0])
    cv2.imwrite(str(photos / "alpha.png"), cv2.cvtColor(scene(101), cv2.COLOR_BGR2BGRA))
    cv2.imwrite(str(photos / "deep.png"), scene(102).astype(np.uint16) * 257)
    cv2.imwrite(str(photos / "small.png"), scene(103, 40))
    extra = ["cut.jpg 0", "grey.png 0", "alpha.png 1", "deep.png 1", "small.png 1", "missing.jpg 0", f"{kept} 7"]
    train.write_text(train.read_text() + "\n".join(extra) + "\n")
    val.write_text(val.read_text() + "copy.jpg 0\nnear.jpg 1\n")
    path = recipe_of(photos, Train=train, Eval=val)
    override = ("-o", "DataLoader.Train.dataset.on_error=skip")
    done = run("check-data", "-c", path, "--out", "report", "--workers", "1", *override, code=1)
    problems = json.loads((photos.parent / "report" / "report.json").read_text())["problems"]
    found = {name: " ".join(items) for name, items in problems.items()}
    assert "cut.jpg: the JPEG is truncated" in found["broken"]
    assert "missing.jpg: no such file" in found["broken"]
    assert "label 7 of 2 classes" in found["outside_labels"]
    assert f"{kept} = Eval" in found["shared_copies"]
    assert "near.jpg" in found["shared_copies"]
    assert "near_copies" not in found  # it is named once
    assert kept in found["conflicting_labels"]
    assert "grey.png: grey" in found["unusual"]
    assert "alpha.png: alpha" in found["unusual"]
    assert "deep.png: 16 bit" in found["unusual"]
    assert "small.png: 45 x 40, the crop is 48" in found["too_small"]
    assert json.loads(done.stdout)["counts"]["broken"] == 2
    assert re.search(r"^2 cannot be read:\n  \S+cut.jpg: the JPEG is truncated", done.stderr, re.MULTILINE)
    assert re.search(r"all of them: +report/report.html\n", done.stderr)
    assert "grey.png" not in done.stderr
    page = (photos.parent / "report" / "report.html").read_text()
    assert "<h3>7</h3>" in page  # a class that the model does not have
    assert "data:image/jpeg;base64," in page
    assert "Traceback" not in done.stderr


def test_the_quick_starts_digits_pass(run, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "make_digits.py", tmp_path / "dataset" / "digits"], capture_output=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(run("check-data", "-c", "quick_start/digits_ConvMixer", "--out", "report").stdout)
    assert report["ok"]
    assert "near_copies" not in report["counts"]
