"""Evaluation by the classes of training, wherever their names or labels are known."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import yaml

import ppcls
from ppcls.data.build import build_dataset, shared_files
from ppcls.data.datasets import Classes, MultiLabelDataset
from ppcls.data.datasets.names import read_class_names
from ppcls.engine import label_names
from ppcls.engine.inspection import check_data
from ppcls.errors import DataError
from ppcls.utils import imagenet
from tests.helpers.colours import COLOURS, folder, listed, write_colour_recipe, write_folders, write_list
from tests.helpers.command_line import run_ppcls

SAME = {name: name for name in COLOURS}
NO_CAT = {name: name for name in COLOURS if name != "cat"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a recipe, its run in ``out`` and its export, and several data sets to evaluate."""
    root = tmp_path_factory.mktemp("colours")
    write_folders(root / "train", SAME, 8)
    write_folders(root / "val", SAME, 4)
    write_folders(root / "no_cat", NO_CAT, 4)
    write_folders(root / "case", {**NO_CAT, "cat": "Cat"}, 4)
    write_folders(root / "fifth", {**SAME, "eel": "fox"}, 4)
    (root / "other").mkdir()
    names = ["eel", "cat", "bee", "dog"]
    write_folders(root / "other" / "val", SAME, 4)
    write_list(root / "other" / "list.txt", root / "other" / "val", {name: names.index(name) for name in names})
    (root / "other" / "labels.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(names)))
    recipe = write_colour_recipe(root / "recipe.yaml", folder(root / "train"), folder(root / "val"))
    run_ppcls("train", "-c", recipe, cwd=root)
    run_ppcls("export", root / "out", cwd=root)
    return root


def evaluate(place, dataset, model, code=0):
    """Evaluate the run or its export on another data set; return the finished command."""
    values = yaml.safe_load((place / "recipe.yaml").read_text())
    values["DataLoader"]["Eval"]["dataset"].update(dataset)
    path = place / "changed.yaml"
    path.write_text(yaml.safe_dump(values))
    which = ["--model", "out/inference"] if model == "export" else ["-o", "Global.pretrained_model=out/best_model"]
    return run_ppcls("eval", "-c", path, *which, cwd=place, code=code)


@pytest.mark.parametrize("model", ["checkpoint", "export"])
def test_a_subset_and_another_order_are_scored_by_name(place, model):
    done = evaluate(place, folder(place / "no_cat"), model)
    assert json.loads(done.stdout)["top1"] == 1.0
    assert "DataLoader.Eval: no images for 1 of the 4 classes of the model: cat" in done.stderr
    done = evaluate(place, listed(place / "other" / "list.txt"), model)
    assert json.loads(done.stdout)["top1"] == 1.0
    assert "class numbers differ from those of the model; classes are matched by name" in done.stderr
    assert "WARNING" not in evaluate(place, folder(place / "val"), model).stderr


@pytest.mark.parametrize("model", ["checkpoint", "export"])
@pytest.mark.parametrize(("data", "name"), [("case", "'Cat' (is it 'cat'?)"), ("fifth", "'fox'")])
def test_an_unknown_class_is_an_error(place, model, data, name):
    error = evaluate(place, folder(place / data), model, code=2).stderr
    assert f"DataLoader.Eval: {name} is not a class of the model" in error
    assert "the model (4): bee, cat, dog, eel" in error


def test_the_names_of_a_file_in_another_order_do_not_change_the_answers(place, run):
    (place / "turned.txt").write_text("0 eel\n1 dog\n2 cat\n3 bee\n")
    change = f"Infer.PostProcess.class_id_map_file={place}/turned.txt"
    weights = f"Global.pretrained_model={place}/out/best_model"
    images = f"Infer.infer_imgs={place}/val/cat/0.png"
    done = run("infer", "-c", place / "recipe.yaml", "-o", weights, change, images)
    assert json.loads(done.stdout)[0]["label_names"][0] == "cat"
    assert "in another order; that of training is used" in done.stderr


def test_shards_are_matched_by_name(place, tmp_path, run):
    run("pack-data", place / "other" / "val", "--out", tmp_path / "shards")
    names = (tmp_path / "shards" / "labels.txt").read_text()
    assert names.splitlines() == ["0 bee", "1 cat", "2 dog", "3 eel"]
    shards = {"name": "ShardDataset", "image_root": str(tmp_path / "shards"), "shards": "*.tar"}
    values = yaml.safe_load((place / "recipe.yaml").read_text())
    values["DataLoader"]["Train"]["dataset"].update(listed(place / "other" / "list.txt"))
    ops = values["DataLoader"]["Eval"]["dataset"]["transform_ops"]
    values["DataLoader"]["Eval"]["dataset"] = {**shards, "transform_ops": ops}
    values["Global"]["output_dir"] = str(tmp_path / "out")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    done = run("train", "-c", tmp_path / "recipe.yaml", "-o", "Global.epochs=6")
    assert "class numbers differ from those of DataLoader.Train; classes are matched by name" in done.stderr
    assert json.loads(done.stdout)["top1"] == 1.0


def test_imagenets_folders_and_names_have_one_order(monkeypatch):
    class Data:
        is_multilabel, list_labels, from_list, unused_names = False, None, False, None

    config = ppcls.load_config({"Arch": {"name": "ConvMixer_256_8"}})
    words = read_class_names(imagenet.LABEL_LIST)
    folders = [f"n{number:08d}" for number in range(1000)]
    data = Data()
    data.class_names, data.labels = folders, np.arange(1000)
    with pytest.raises(DataError, match="are not classes of the model"):  # folders of another thousand synsets
        label_names.match_classes(config, Classes(words), "the model", data)
    monkeypatch.setattr(imagenet, "FOLDERS_SHA256", hashlib.sha256("\n".join(folders).encode()).hexdigest())
    for own, known in ((folders, words), (words, folders)):
        data = Data()
        data.class_names = own
        assert label_names.match_classes(config, Classes(known), "the model", data) == (data, [])
    data.class_names, data.labels = folders[:10], np.arange(10)
    with pytest.raises(DataError, match="are not classes of the model"):  # which of the 1000 they are is not known
        label_names.match_classes(config, Classes(words), "the model", data)


def test_check_data_compares_the_sides(place, run):
    def check(data, code=0):
        change = f"DataLoader.Eval.dataset.image_root={place / data}"
        return run("check-data", "-c", place / "recipe.yaml", "-o", change, code=code)

    done = check("no_cat")
    assert json.loads(done.stdout)["ok"]
    assert "no images for 1 of the 4 classes of DataLoader.Train: cat" in done.stderr
    done = check("case", code=1)
    assert json.loads(done.stdout)["counts"]["class_mismatch"] == 1
    assert "'Cat' (is it 'cat'?) is not a class of DataLoader.Train" in done.stderr


def test_training_scores_by_its_own_classes(place, tmp_path, capsys):
    recipe = write_colour_recipe(tmp_path / "recipe.yaml", folder(place / "train"), folder(place / "no_cat"))
    assert ppcls.train(recipe).metrics["top1"] == 1.0
    assert "are in DataLoader.Train too" not in capsys.readouterr().err
    unknown = {"DataLoader.Eval.dataset.image_root": str(place / "fifth")}
    with pytest.raises(DataError, match=r"'fox' is not a class of DataLoader\.Train"):
        ppcls.train(recipe, changes=unknown)


def test_images_that_are_on_both_sides_are_said(place, tmp_path, run):
    (tmp_path / "link").symlink_to(place / "train")
    bees = sorted((place / "train" / "bee").iterdir())[:3]
    (tmp_path / "list.txt").write_text("".join(f"{file} 0\n" for file in [*bees, place / "val" / "cat" / "0.png"]))
    for train, evaluation, count in (
        (folder(place / "train"), folder(tmp_path / "link"), 32),
        (folder(tmp_path / "link"), listed(tmp_path / "list.txt"), 3),
    ):
        recipe = write_colour_recipe(tmp_path / "recipe.yaml", train, evaluation, epochs=1)
        done = run("train", "-c", recipe)
        said = f"DataLoader.Eval: {count} of its images are in DataLoader.Train too, such as {place}/train/bee/0.png: "
        assert done.stderr.count(said) == 1
    halves = {"val_fraction": 0.5}
    train, evaluation = (build_dataset({**folder(place / "train"), **halves}, train=side) for side in (True, False))
    assert shared_files(train, evaluation) == []


def test_relabelled_lists_have_the_numbers_of_training(place, tmp_path):
    labels = {"bee": 11, "cat": 12, "dog": 13, "eel": 20}
    for name in ("train", "no_cat"):
        write_list(place / f"{name}.txt", place / name, labels)
    train, evaluation = (listed(place / f"{name}.txt", relabel=True) for name in ("train", "no_cat"))
    recipe = write_colour_recipe(tmp_path / "recipe.yaml", train, evaluation)
    assert ppcls.train(recipe).metrics["top1"] == 1.0
    config = ppcls.load_run_config(tmp_path / "out")
    assert config.Arch.class_num == 4
    assert ppcls.evaluate(config)["top1"] == 1.0
    # Without relabel the labels are still those of a list, of which training has numbered four.
    raw = ppcls.load_run_config(tmp_path / "out", {"DataLoader.Eval.dataset.relabel": False})
    assert ppcls.evaluate(raw)["top1"] == 1.0
    said = "has no class names: answers have the labels of the list that it was trained on as names (11, 12, 13, 20)"
    assert said in run_ppcls("export", tmp_path / "out", cwd=tmp_path).stderr
    done = run_ppcls("eval", "-c", recipe, "--model", "out/inference", cwd=tmp_path)
    assert json.loads(done.stdout)["top1"] == 1.0
    picture = place / "val" / "dog" / "0.png"
    for model in ("out", "out/inference"):
        done = run_ppcls("infer", model, picture, cwd=tmp_path)
        (answer,) = json.loads(done.stdout)
        assert (answer["class_ids"][0], answer["label_names"][0]) == (2, "13")
        assert said.partition(" (")[0] in done.stderr
    write_list(place / "no_cat.txt", place / "no_cat", {**labels, "eel": 19})
    with pytest.raises(DataError, match=r"the label 19 of the list is not among(.|\n)*the model \(4\): 11, 12, 13, 20"):
        ppcls.evaluate(config)


def test_other_classes_do_not_continue_a_run(place, tmp_path, run):
    write_folders(tmp_path / "train", SAME, 2)
    recipe = write_colour_recipe(tmp_path / "recipe.yaml", folder(tmp_path / "train"), folder(place / "val"), epochs=1)
    run("train", "-c", recipe)
    (tmp_path / "train" / "bee").rename(tmp_path / "train" / "zebra")
    changes = ("Global.epochs=2", "Global.checkpoints=out/latest", "Global.eval_during_train=false")
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    assert "was trained on other classes: number 0 was 'bee' and is 'cat' in the training data" in done.stderr


def test_relabelled_lists_are_matched_by_their_names(place, tmp_path):
    numbers = {"bee": 3, "cat": 2, "dog": 1, "eel": 0}
    write_folders(tmp_path / "val", SAME, 4)
    write_list(tmp_path / "list.txt", tmp_path / "val", numbers)
    (tmp_path / "labels.txt").write_text("".join(f"{number} {name}\n" for name, number in numbers.items()))
    evaluation = listed(tmp_path / "list.txt", relabel=True)
    recipe = write_colour_recipe(tmp_path / "recipe.yaml", folder(place / "train"), evaluation)
    assert ppcls.train(recipe).metrics["top1"] == 1.0
    # A label that the file does not name: by number, the others would be taken for other classes.
    (tmp_path / "labels.txt").write_text("0 eel\n1 dog\n2 cat\n")
    with pytest.raises(DataError, match=r"has the label 3, and labels.txt \(beside it or in image_root\) names 0 to 2"):
        ppcls.evaluate(ppcls.load_run_config(tmp_path / "out"))


def test_data_without_names_are_compared_by_number(place, tmp_path, run):
    write_folders(tmp_path / "val", SAME, 2)
    write_list(tmp_path / "list.txt", tmp_path / "val", {"bee": 0, "cat": 1, "dog": 2, "eel": 3})
    recipe = write_colour_recipe(tmp_path / "recipe.yaml", folder(place / "train"), listed(tmp_path / "list.txt"))
    weights = f"Global.pretrained_model={place}/out/best_model"
    done = run("eval", "-c", recipe, "-o", weights)
    note = (
        "DataLoader.Eval: these data have no class names; labels are compared by number with the classes of {}; write "
        "labels.txt beside the list"
    )
    (line,) = [line for line in done.stderr.splitlines() if note.format("the model") in line]
    assert "WARNING" in line
    assert json.loads(done.stdout)["top1"] == 1.0
    report = check_data(ppcls.load_config(recipe), tmp_path / "report")
    assert report["problems"]["differing_classes"] == [note.format("DataLoader.Train")]
    (tmp_path / "labels.txt").write_text("bee\ncat\ndog\neel\n")
    assert "compared by number" not in run("eval", "-c", recipe, "-o", weights).stderr


def test_weights_without_names_have_those_of_the_training_data(place, tmp_path, caplog):
    shutil.copy(place / "out" / "best_model.pdparams", tmp_path / "bare.pdparams")
    weights = f"Global.pretrained_model={tmp_path}/bare"
    recipe = write_colour_recipe(
        tmp_path / "recipe.yaml", folder(place / "train"), listed(place / "other" / "list.txt")
    )
    values = yaml.safe_load(recipe.read_text())
    values["Arch"]["class_num"] = 4
    recipe.write_text(yaml.safe_dump(values))
    assert ppcls.evaluate(ppcls.load_config(recipe, [weights]))["top1"] == 1.0
    assert "the classes of the model have no names: those of DataLoader.Train are used" in caplog.text
    caplog.clear()
    # Without them, numbers are compared, and that is said.
    changes = [weights, f"DataLoader.Train.dataset.image_root={place}/nowhere"]
    assert ppcls.evaluate(ppcls.load_config(recipe, changes))["top1"] < 1.0
    said = "the classes of the model have no names; labels are compared by number; keep the .pdstates file with"
    assert said in caplog.text
    recipe = write_colour_recipe(tmp_path / "recipe.yaml", folder(place / "no_cat"), folder(place / "no_cat"))
    values["DataLoader"]["Train"] = values["DataLoader"]["Eval"] = yaml.safe_load(recipe.read_text())["DataLoader"][
        "Eval"
    ]
    recipe.write_text(yaml.safe_dump(values))
    ppcls.evaluate(ppcls.load_config(recipe, [weights]))
    assert "have no names (these data have 3, and the model 4); labels are compared by number" in caplog.text


def test_columns_without_names_are_compared_by_number(place):
    (place / "columns.txt").write_text("val/bee/0.png\t0,1\n")
    data = MultiLabelDataset(str(place), str(place / "columns.txt"))
    config = ppcls.load_config({"Arch": {"name": "ConvMixer_256_8"}})
    (note,) = label_names.match_classes(config, Classes(["rain", "snow"]), "the model", data)[1]
    assert note.startswith("these data have no class names; labels are compared by number")
    data.class_names = ["rain", "snow", "night"]
    notes = label_names.match_classes(config, Classes(["rain", "snow"]), "the model", data)[1]
    assert notes[0] == "labels.txt names 3 classes, and the labels have 2 columns: the names are not used"
    assert notes[1].startswith("these data have no class names; labels are compared by number")
