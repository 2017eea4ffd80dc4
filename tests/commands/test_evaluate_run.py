"""``ppcls eval RUN``: a run, a checkpoint or an export, on its own data or others."""

import json
import shutil

import numpy as np
import pytest

from ppcls.commands.class_table import class_table, weakest
from tests.helpers.multilabel import NAMES, write_multilabel_recipe
from tests.helpers.recipes import write_recipe
from tests.helpers.runs import train


@pytest.fixture(scope="module")
def folders(digits, tmp_path_factory):
    """Return the validation pictures of the digits, in folders by class."""
    root = tmp_path_factory.mktemp("folders") / "others"
    for line in (digits / "val_list.txt").read_text().splitlines():
        name, label = line.split()
        (root / f"digit-{label}").mkdir(parents=True, exist_ok=True)
        shutil.copy(digits / name, root / f"digit-{label}")
    return root


def best(trained):
    return json.loads((trained / "out" / "best_model.pdstates").read_text())["best"]["value"]


def test_a_run_knows_its_recipe_and_its_data(trained, run):
    done = run("eval", trained / "out")
    result = json.loads(done.stdout)
    assert result["top1"] == best(trained)
    recalls = result["details"]["Recall"]["per_class"]
    assert sum(record["support"] for record in recalls) == 40
    assert recalls[3]["class_name"] == "digit-3"
    found = sum(record["recall"] * record["support"] for record in recalls if record["support"])
    assert found / 40 == pytest.approx(result["top1"])
    matrix = np.array(result["details"]["ConfusionMatrix"]["matrix"])
    assert np.trace(matrix) == round(40 * result["top1"])
    assert f"on 40 images: {100 * result['top1']:.2f} % top-1, " in done.stderr
    assert done.stderr.splitlines()[-1] == f"next: ppcls infer {trained}/out IMAGES --out answers.csv"
    of_checkpoint = json.loads(run("eval", trained / "out" / "best_model.pdparams").stdout)
    assert of_checkpoint == result


def test_other_data_are_matched_by_the_names_of_their_classes(trained, folders, run, tmp_path):
    assert json.loads(run("eval", trained / "out", "--data", folders).stdout)["top1"] == best(trained)
    shutil.copytree(folders, tmp_path / "some")
    for label in (0, 1, 4, 5, 6, 8, 9):
        shutil.rmtree(tmp_path / "some" / f"digit-{label}")
    result = json.loads(run("eval", trained / "out", "--data", "some").stdout)
    supports = [record["support"] for record in result["details"]["Recall"]["per_class"]]
    assert [label for label, count in enumerate(supports) if count] == [2, 3, 7]
    for label in (2, 7):
        shutil.rmtree(tmp_path / "some" / f"digit-{label}")
    only = json.loads(run("eval", trained / "out", "--data", "some").stdout)
    assert only["top1"] == result["details"]["Recall"]["per_class"][3]["recall"]


def test_classes_that_the_model_does_not_have(trained, folders, run, tmp_path):
    shutil.copytree(folders, tmp_path / "some")
    (tmp_path / "some" / "digit-3").rename(tmp_path / "some" / "letter-x")
    done = run("eval", trained / "out", "--data", "some", code=2)
    assert "'letter-x' is not a class of the model; rename or remove it" in done.stderr
    assert done.stdout == ""


def test_an_export_on_its_runs_data_and_on_others(trained, folders, run, tmp_path):
    shutil.copytree(trained / "out", tmp_path / "run")
    run("export", "run")
    assert json.loads(run("eval", "run/inference").stdout)["top1"] == best(trained)
    shutil.copytree(tmp_path / "run" / "inference", tmp_path / "model")
    assert "which has no data: give --data DATA" in run("eval", "model", code=2).stderr
    result = json.loads(run("eval", "model", "--data", folders).stdout)
    assert result["top1"] == best(trained)
    assert result["details"]["F1"]["per_class"][3]["class_name"] == "digit-3"
    averaged = run("eval", "model", "--data", folders, "--tta", "flip")
    of_run = run("eval", "run", "--tta", "flip")
    assert json.loads(averaged.stdout)["tta"]["top1"] == json.loads(of_run.stdout)["tta"]["top1"]
    assert "% top-1 with --tta flip)" in of_run.stderr
    assert "has its weights in it" in run("eval", "model", "--data", folders, "--weights-key", "x", code=2).stderr
    refused = run("eval", "model", "--data", folders, "-o", "Global.seed=1", code=2).stderr
    assert "-o: is of a recipe, and an exported model with --data has none" in refused


def test_a_run_that_was_moved_and_whose_data_are_gone(digits, folders, run, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("train", "val"):
        shutil.copytree(digits / name, tmp_path / "data" / name)
        shutil.copy(digits / f"{name}_list.txt", tmp_path / "data")
    shutil.copy(digits / "labels.txt", tmp_path / "data")
    train(write_recipe(tmp_path / "data", tmp_path), "Global.epochs=1")
    expected = json.loads(run("eval", "out").stdout)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert json.loads(run("eval", "moved").stdout) == expected
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    done = run("eval", "moved", code=2)
    assert f"moved: its data are not there: {tmp_path}/data" in done.stderr
    assert "ppcls eval moved --data DATA" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(run("eval", "moved", "--data", "elsewhere").stdout) == expected
    assert json.loads(run("eval", "moved", "--data", "elsewhere/val_list.txt").stdout) == expected


def test_a_run_that_was_moved_with_its_lists(digits, run, tmp_path):
    (tmp_path / "out").mkdir()
    shutil.copy(digits / "val_list.txt", tmp_path / "out")
    lists = f"DataLoader.Eval.dataset.cls_label_path={tmp_path}/out/val_list.txt"
    train(write_recipe(digits, tmp_path), "Global.epochs=1", lists)
    expected = json.loads(run("eval", "out").stdout)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert json.loads(run("eval", "moved").stdout) == expected
    (tmp_path / "moved" / "val_list.txt").unlink()
    assert f"its data are not there: {tmp_path}/out/val_list.txt" in run("eval", "moved", code=2).stderr


def test_several_classes_per_image(digits, run, tmp_path):
    recipe = write_multilabel_recipe(digits, tmp_path)
    train(recipe, "Global.epochs=1", "Infer.PostProcess={name: MultiLabelThreshOutput, threshold: 0.3}")
    result = json.loads(run("eval", "out").stdout)
    assert [record["class_name"] for record in result["details"]["Recall"]["per_class"]] == NAMES
    assert "ConfusionMatrix" not in result["details"]
    run("export", "out")
    of_export = json.loads(run("eval", "out/inference").stdout)
    assert of_export["MultiLabelMAP"] == pytest.approx(result["MultiLabelMAP"], abs=1e-4)
    assert of_export["details"]["F1"] == result["details"]["F1"]  # by the threshold of the answers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either RUN"),
        (("out", "-c", "recipe.yaml"), "give either RUN"),
        (("nowhere",), "no such run folder, checkpoint, or exported model"),
        (("empty",), "not the folder of a run"),
        (("-c", "recipe.yaml", "--data", "x"), "--data: goes with `ppcls eval RUN`"),
        (("out", "--data", "nowhere"), "nowhere: no such file or folder"),
        (("out", "--backend", "onnx"), "--backend is for exported models"),
        (("out", "--model", "x"), "leave one of the two out"),
    ],
)
def test_mistakes(trained, run, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").symlink_to(trained / "out")
    (tmp_path / "recipe.yaml").symlink_to(trained / "recipe.yaml")
    done = run("eval", *arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_table_of_classes_has_the_weakest_first():
    def records(key, *values):
        names = ("cat", "dog", "a name that is much too long for a table", "absent")
        return {
            "per_class": [
                {"class_id": index, "class_name": name, key: value, "support": support}
                for index, (name, value, support) in enumerate(zip(names, values, (10, 20, 5, 0)))
            ]
        }

    matrix = [[9, 1, 0, 0], [4, 10, 6, 0], [0, 0, 5, 0], [0, 0, 0, 0]]
    details = {
        "Recall": records("recall", 0.9, 0.5, 1.0, None),
        "Precision": records("precision", 9 / 13, 10 / 11, 5 / 11, None),
        "F1": records("f1", 0.783, 0.645, 0.625, None),
        "ConfusionMatrix": {"classes": ["cat", "dog", "long", "absent"], "matrix": matrix},
    }
    lines = class_table(details).splitlines()
    assert lines[0].split() == ["class", "images", "recall", "precision", "F1", "mostly", "taken", "for"]
    assert [line.split()[0] for line in lines[1:]] == ["a", "dog", "cat"]  # a class without images has no row
    assert lines[1].startswith("a name that is much too l...")
    assert lines[2].split() == ["dog", "20", "50.0", "%", "90.9", "%", "0.645", "long", "(6)"]
    assert len({line.index("%") for line in lines[1:]}) == 1
    assert weakest(details) == "dog 50.0 %"
    assert class_table({}) == ""
