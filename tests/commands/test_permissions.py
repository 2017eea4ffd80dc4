"""Data and working folders that may not be written to, and folders that may not be entered or read."""

import ctypes
import os
import shutil
import stat
import sys

import pytest
import yaml

from tests.helpers.command_line import run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="root loses its rights as on Linux")
_DROP_FROM_BOUNDING_SET, _OVERRIDE_WRITES, _OVERRIDE_READS = 24, 1, 2  # prctl's and the kernel's numbers


def without_override():
    """Let the program that follows be stopped by permissions, even if it is root's."""
    if os.geteuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for right in (_OVERRIDE_WRITES, _OVERRIDE_READS):
        if libc.prctl(_DROP_FROM_BOUNDING_SET, right, 0, 0, 0):
            os._exit(99)


@pytest.fixture
def places(recipe, digits, tmp_path):
    """Return a folder with read-only data and a read-only working directory, and folders that are closed."""
    shutil.copytree(digits, tmp_path / "data")
    work = tmp_path / "work"
    work.mkdir()
    values = yaml.safe_load(recipe.read_text().replace(str(digits), "../data"))
    values["Global"].update(output_dir="./output", save_inference_dir="./inference", epochs=1)
    (work / "recipe.yaml").write_text(yaml.safe_dump(values))
    for name, mode in {"closed": 0, "unlisted": stat.S_IXUSR}.items():
        (tmp_path / name).mkdir(mode=0o755)
        shutil.copy(work / "recipe.yaml", tmp_path / name)
        (tmp_path / name).chmod(mode)
    for place in (tmp_path / "data", tmp_path / "data" / "train", tmp_path / "data" / "val", work):
        place.chmod(0o555)
    yield tmp_path
    for place in tmp_path.rglob("*"):
        if place.is_dir():
            place.chmod(0o755)


API = """
import sys
import ppcls

def tell(name, use):
    try:
        print("done", name, bool(use()))
    except ppcls.PpclsError as error:
        print("error", name, str(error))

R, OUT, FOLDER = "recipe.yaml", "../out/run", {"name": "ImageFolder", "transform_ops": [{"DecodeImage": {}}]}
tell("train here", lambda: ppcls.train(R))
tell("train", lambda: ppcls.train(R, changes={"Global.output_dir": OUT}))
run = ppcls.load_run_config(OUT, {"Infer.infer_imgs": "../data/val"})
tell("evaluate", lambda: ppcls.evaluate(run))
tell("infer", lambda: ppcls.infer(run))
weights = {"Global.pretrained_model": OUT + "/latest", "Infer.infer_imgs": "../data/val"}
tell("infer here", lambda: ppcls.infer(ppcls.load_config(R, weights)))
tell("export here", lambda: ppcls.export(ppcls.load_config(R, weights)))
tell("export", lambda: ppcls.export(run))
tell("predict", lambda: ppcls.Predictor(OUT + "/inference").predict("../data/val/000.png"))
for place in ("closed", "unlisted"):
    changes = {"Global.output_dir": "../out/again"}
    folder = {"DataLoader.Train.dataset": {**FOLDER, "image_root": f"../{place}"}}
    tell(f"folder {place}", lambda: ppcls.train(R, changes={**changes, **folder}))
lists = {"DataLoader.Train.dataset.cls_label_path": "../closed/list.txt"}
tell("list closed", lambda: ppcls.train(R, changes={**changes, **lists}))
tell("recipe closed", lambda: ppcls.load_config("../closed/recipe.yaml"))
tell("weights closed", lambda: ppcls.create_model("ConvMixer", pretrained="../closed/w"))
tell("predictor closed", lambda: ppcls.load_predictor("../closed"))
tell("export closed", lambda: ppcls.Predictor("../closed/x"))
"""


def test_the_python_api(places, tmp_path):
    (tmp_path / "out").mkdir()
    done = run_python(API, cwd=tmp_path / "work", preexec=without_override, environment={"HOME": str(tmp_path / "out")})
    told = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [text for kind, text in told if kind == "done"] == [
        f"{name} True" for name in ("train", "evaluate", "infer", "export", "predict")
    ]
    texts = [text for kind, text in told if kind == "error"]
    expected = {
        "train here": "Global.output_dir=output: cannot be written to: Permission denied; choose another with -o",
        "infer here": "Global.output_dir=output: cannot be written to: Permission denied; choose another with -o",
        "export here": "Global.save_inference_dir=./inference: cannot be written to: Permission denied; choose another",
        "folder closed": "DataLoader.Train: ../closed: Permission denied: this user may not enter the folder",
        "folder unlisted": "image_root: ../unlisted: cannot be read: Permission denied",
        "list closed": "../closed/list.txt: Permission denied: check the permissions of its folder",
        "recipe closed": "../closed/recipe.yaml: Permission denied: check the permissions of its folder",
        "weights closed": "../closed/w: Permission denied: check the permissions of its folder",
        "predictor closed": "../closed: Permission denied: this user may not enter the folder",
        "export closed": "../closed/x: Permission denied: check the permissions of its folder",
    }
    assert len(texts) == len(expected)
    for text, (name, message) in zip(texts, expected.items()):
        assert text.startswith(name) and message in text


def test_commands_that_write_into_the_working_directory(places, run, tmp_path):
    for command, option in (("check-data", "--out=data_report"), ("show-data", "--out=data.png")):
        done = run(command, "-c", "recipe.yaml", cwd=tmp_path / "work", process=True, preexec=without_override, code=2)
        assert f"error: {option}: cannot be written" in done.stderr and "Traceback" not in done.stderr
