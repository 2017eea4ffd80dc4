"""What the blocks of every page find in their working folder; CONTRIBUTING.md lists it."""

import importlib.util
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2

from tests.docs.shorten import shorten
from tests.helpers.command_line import process_environment, run_ppcls
from tests.helpers.recipes import ROOT

_OF_THE_PROJECT = ("tools", "configs", "deploy", "benchmarks")
_RECIPE = "quick_start/digits_ConvMixer"
_SIDE = 46  # pixels of a photo: below 48, trainings have images of 32 pixels
_PER_CLASS = 18
_DIGITS = Path("dataset/digits")
_KEPT = 4  # one in so many digits: trainings are four times as fast
_NEW = {"flower": 2, "leaves": 2, "temple": 1}  # photos that are in ``new``


def build(folder):
    """Make the data, train with them and export."""
    write_photos(folder)
    script = [sys.executable, str(ROOT / "tools" / "make_digits.py"), str(_DIGITS)]
    subprocess.run(script, cwd=folder, env=process_environment(), check=True)
    thin_digits(folder)
    more = ["--onnx", "--self-contained"] if _has("paddle2onnx") and _has("onnxruntime") else []
    run_ppcls("train", "-c", _RECIPE, "-o", "Global.epochs=3", "Global.save_interval=1", cwd=folder)
    for words in (
        ["train", "photos"],
        ["export", "output/digits", *more],
        ["export", "output/photos", *more],
    ):
        run_ppcls(*shorten(words, folder), cwd=folder)


def thin_digits(folder):
    """Leave one in four of the digits of each class, the first one included, of those that the script has written."""
    for path in (folder / _DIGITS).glob("*_list.txt"):
        seen, kept = Counter(), []
        for line in path.read_text().splitlines():
            name, label = line.split()
            if seen[label] % _KEPT:
                (folder / _DIGITS / name).unlink()
            else:
                kept.append(f"{line}\n")
            seen[label] += 1
        path.write_text("".join(kept))


def write_photos(folder):
    """Cut scikit-learn's two photos into small ones of three classes: ``photos``, and five more in ``new``."""
    from sklearn.datasets import load_sample_image

    flower, temple = load_sample_image("flower.jpg"), load_sample_image("china.jpg")
    areas = {"flower": flower[60:400, 120:460], "leaves": flower[:, 460:], "temple": temple[170:400, 100:]}
    (folder / "new").mkdir(parents=True)
    for name, area in areas.items():
        (folder / "photos" / name).mkdir(parents=True)
        height, width = (length // _SIDE * _SIDE for length in area.shape[:2])
        corners = [(top, left) for top in range(0, height, _SIDE) for left in range(0, width, _SIDE)]
        for index, (top, left) in enumerate(corners[:_PER_CLASS]):
            target = folder / "new" / f"{name}_{index}.jpg" if index < _NEW[name] else None
            target = target or folder / "photos" / name / f"{index:03d}.jpg"
            cv2.imwrite(str(target), cv2.cvtColor(area[top : top + _SIDE, left : left + _SIDE], cv2.COLOR_RGB2BGR))
    shutil.copy(folder / "new" / "flower_0.jpg", folder / "photo.jpg")


def copy(world, folder, text):
    """Give a page its working folder: the world, and folders of the project, in so far as its blocks may use them.

    Args:
        text: of the blocks that are run.
    """
    needs_digits = "digits" in text
    shutil.copytree(world, folder, ignore=None if needs_digits else shutil.ignore_patterns("digits"))
    for name in _OF_THE_PROJECT:
        if f"{name}/" in text:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))


def _has(module):
    return importlib.util.find_spec(module) is not None
