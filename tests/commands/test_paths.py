"""Data and results in unusual places: names of all letters, other systems' lists, folders that cannot be written to."""

import json
import shlex
import shutil

import pytest

from tests.helpers.command_line import run_python
from tests.helpers.recipes import write_recipe

# The locale C, without what Python does to read file names as UTF-8 all the same.
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def chinese(digits, tmp_path):
    """Return a folder with one folder per class, all with Chinese names."""
    for number, line in enumerate((digits / "train_list.txt").read_text().splitlines()):
        name, label = line.split()
        target = tmp_path / "数据" / f"第{int(label) % 2}类" / f"图{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(digits / name, target)
    return tmp_path / "数据"


def test_chinese_names_in_the_c_locale(chinese, digits, run, tmp_path):
    def call(*arguments):
        return run(*arguments, cwd=tmp_path, process=True, environment=C_LOCALE)

    split = json.loads(call("split-data", "数据", "--out", "列表").stdout)
    assert (split["classes"], split["train"] + split["val"]) == (2, 120)
    assert (tmp_path / "列表" / "labels.txt").read_text(encoding="utf-8") == "0 第0类\n1 第1类\n"
    changes = [
        "Arch.class_num=2",
        "Global.epochs=1",
        "Global.output_dir=输出",
        "Metric.Eval.0.TopkAcc.topk=[1]",
        *(f"DataLoader.{side}.dataset.image_root=数据" for side in ("Train", "Eval")),
        "DataLoader.Train.dataset.cls_label_path=列表/train_list.txt",
        "DataLoader.Eval.dataset.cls_label_path=列表/val_list.txt",
    ]
    recipe = write_recipe(digits, tmp_path).rename(tmp_path / "配方.yaml")
    call("train", "-c", recipe.name, "-o", *changes)
    answers = json.loads(call("infer", "输出", "数据").stdout)
    assert len(answers) == 120
    assert {answer["label_names"][0] for answer in answers} <= {"第0类", "第1类"}
    assert all(answer["file_name"].startswith("数据/第") for answer in answers)
    call("check-data", "-c", recipe.name, "-o", *changes)


API = """
import json, sys
import ppcls

folder, listed, out = "数据", "列表/train_list.txt", "输出"
ops = [{"DecodeImage": {}}, {"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]
sides = ("Train", "Eval")
changes = {"Arch.class_num": None, "Global.epochs": 1, "Metric.Eval": [{"TopkAcc": {"topk": [1]}}]}
lists = {f"DataLoader.{side}.dataset.image_root": folder for side in sides}
lists.update({f"DataLoader.{side}.dataset.cls_label_path": listed for side in sides})
folders = {"name": "ImageFolder", "image_root": folder, "transform_ops": ops}
folders = {f"DataLoader.{side}.dataset": folders for side in sides}
ppcls.train("配方.yaml", changes={**changes, **lists, "Global.output_dir": "lists"})
result = ppcls.train("配方.yaml", changes={**changes, **folders, "Global.output_dir": out})
run = ppcls.load_run_config(out, {"Infer.infer_imgs": folder})
assert ppcls.evaluate(run)["top1"] == result.best["top1"]
answers = ppcls.infer(run)
assert ppcls.export(run)["images"]
(exported,) = ppcls.load_predictor(out + "/inference").predict(sys.argv[1])
messages = []
for use, wrong in ((ppcls.infer, "Infer.infer_imgs"), (ppcls.evaluate, "Global.pretrained_model")):
    try:
        use(ppcls.load_run_config(out, {wrong: "没有"}))
    except ppcls.PpclsError as error:
        messages.append(str(error))
print(json.dumps([answers, exported, messages]))
"""


def test_the_python_api_in_the_c_locale(chinese, digits, run, tmp_path):
    run("split-data", "数据", "--out", "列表")
    write_recipe(digits, tmp_path).rename(tmp_path / "配方.yaml")
    environment = {key: value for key, value in C_LOCALE.items() if key != "PYTHONIOENCODING"}
    image = next((chinese / "第0类").iterdir()).relative_to(tmp_path)
    (tmp_path / "api.py").write_text(API, encoding="utf-8")  # which Python reads as UTF-8; not so the text of -c
    done = run_python("import runpy; runpy.run_path('api.py')", image, cwd=tmp_path, environment=environment)
    answers, exported, messages = json.loads(done.stdout)
    names = {answer["file_name"] for answer in answers}
    assert len(names) == 120 and str(image) in names
    assert {answer["label_names"][0] for answer in [*answers, exported]} <= {"第0类", "第1类"}
    assert exported["file_name"] == str(image)
    assert all("没有" in message for message in messages) and len(messages) == 2
    log = (tmp_path / "输出" / "train.log").read_text(encoding="utf-8")
    assert "training is done" in log and "输出/best_model" in log
    assert "Traceback" not in done.stderr and "UnicodeEncodeError" not in done.stderr


def test_lists_with_the_separators_of_windows(recipe, run, digits, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text((digits / "train_list.txt").read_text().replace("/", "\\"))
    done = run("train", "-c", recipe, "-o", f"DataLoader.Train.dataset.cls_label_path={listed}", code=2)
    assert f"{listed}:1: {digits}/train\\001.png: no such file, but there is one with / in place of \\" in done.stderr


@pytest.mark.parametrize("line", [60, 119])
def test_a_missing_file_anywhere_is_found_before_the_first_step(recipe, run, digits, tmp_path, line):
    lines = (digits / "train_list.txt").read_text().splitlines()
    lines[line] = "train/nowhere.png 3"
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(lines))
    change = f"DataLoader.Train.dataset.cls_label_path={listed}"
    done = run("train", "-c", recipe, "-o", change, code=2)
    assert f"{listed}:{line + 1}: {digits}/train/nowhere.png: no such file" in done.stderr
    assert "[Train]" not in done.stderr
    done = run("train", "-c", recipe, "-o", change, "Global.check_files=first", code=2)
    assert ("[Train]" in done.stderr) == (line >= 100)
    run("config", "-c", recipe, "-o", "Global.check_files=none", code=2)


def test_split_data_needs_a_folder_that_can_be_written_to(chinese, run):
    (chinese / "a file").write_text("")
    done = run("split-data", chinese, "--out", chinese / "a file" / "lists", code=2)
    assert "cannot be written to: Not a directory; choose another folder with --out" in done.stderr


def test_split_data_names_classes_without_validation_images(chinese, run, tmp_path):
    (chinese / "rare").mkdir()
    shutil.copy(next((chinese / "第0类").iterdir()), chinese / "rare" / "only.png")
    done = run("split-data", chinese, "--out", tmp_path / "lists")
    assert json.loads(done.stdout)["classes_without_val"] == ["rare"]
    assert "no validation image for 1 of 3 classes" in done.stderr
    assert "rare (1 for training)" in done.stderr
    command = done.stderr.split("next: ")[1]
    assert command.startswith("ppcls train -c transfer/photos_ConvMLP_S -o Arch.class_num=3 ")
    run("config", *shlex.split(command)[2:], "Metric.Eval.0.TopkAcc.topk=[1]")
