"""``Arch.class_num``: of the data, of the weights, or of the recipe."""

import json

import pytest
import yaml

import ppcls
from ppcls.errors import ConfigError
from tests.helpers.colours import COLOURS, folder, listed, write_colour_recipe, write_folders, write_list

NAMES = {name: name for name in COLOURS}


@pytest.fixture
def recipe(tmp_path):
    """Return a recipe on four class folders, which says nothing of their number."""
    write_folders(tmp_path / "train", NAMES, 4)
    return write_colour_recipe(
        tmp_path / "recipe.yaml", folder(tmp_path / "train"), folder(tmp_path / "train"), epochs=1
    )


def shown(text):
    """Return the line of class_num in a recipe as it is shown."""
    return next(" ".join(line.split()) for line in text.splitlines() if line.strip().startswith("class_num"))


def test_it_follows_from_the_folders_and_is_kept(recipe, run):
    line = "class_num: 4 # inferred from DataLoader.Train: the names of its classes"
    assert shown(run("config", "-c", recipe).stdout) == line
    done = run("train", "-c", recipe)
    assert "Arch.class_num is not in the recipe: 4 (inferred from DataLoader.Train: the names" in done.stderr
    assert shown((recipe.parent / "out" / "config.yaml").read_text()) == line
    assert ppcls.load_run_config(recipe.parent / "out").Arch.class_num == 4
    # The same command again finds the same run.
    run("train", "-c", recipe, "-o", "Global.checkpoints=auto", "Global.epochs=2")


def test_without_the_data_it_is_that_of_the_weights(recipe, run, tmp_path):
    run("train", "-c", recipe)
    image = tmp_path / "image.png"
    image.write_bytes((tmp_path / "train" / "cat" / "0.png").read_bytes())
    gone = [f"DataLoader.{side}.dataset.image_root={tmp_path}/gone" for side in ("Train", "Eval")]
    assert shown(run("config", "-c", recipe, "-o", *gone).stdout) == "class_num: 1000 # default"
    weights = "Global.pretrained_model=out/best_model"
    done = run("infer", "-c", recipe, "-o", *gone, weights, f"Infer.infer_imgs={image}")
    assert len(json.loads(done.stdout)[0]["label_names"]) == 4
    assert "Arch.class_num is not in the recipe: 4 (inferred from" in done.stderr
    assert "class_num: 4 # inferred from" in shown(run("config", "-c", recipe, "-o", *gone, weights).stdout)
    run("export", "-c", recipe, "-o", *gone, weights, "Global.save_inference_dir=export")
    assert ppcls.Predictor(tmp_path / "export").description.class_num == 4
    assert run("eval", "-c", recipe, "--model", "export").stdout


@pytest.mark.parametrize(("count", "advice"), [(10, "Global.allow_unused_classes=true"), (3, "leave it out")])
def test_another_number_than_that_of_the_names_is_an_error(recipe, run, count, advice):
    error = run("train", "-c", recipe, "-o", f"Arch.class_num={count}", code=2).stderr
    assert (
        f"-o Arch.class_num={count}: Arch.class_num: is {count}, and DataLoader.Train has 4 classes: bee, cat" in error
    )
    assert advice in error
    assert not (recipe.parent / "out" / "latest.pdparams").exists()
    done = run("check-data", "-c", recipe, "-o", f"Arch.class_num={count}", code=1)
    assert json.loads(done.stdout)["counts"]["class_mismatch"] == 1


def test_null_takes_back_what_a_base_says(recipe):
    top = recipe.with_name("top.yaml")
    top.write_text("_base_: [recipe.yaml]\nArch: {class_num: 7}\n")
    assert ppcls.load_config(top).has_class_num
    assert not ppcls.load_config(top, ["Arch.class_num=null"]).has_class_num
    assert ppcls.train(top, changes=["Arch.class_num=null"]).run_dir


def test_unused_classes_that_are_allowed_keep_the_names(recipe, run):
    changes = ("Arch.class_num=6", "Global.allow_unused_classes=true")
    done = run("train", "-c", recipe, "-o", *changes)
    assert "DataLoader.Train has 4 classes: bee, cat, dog, eel; the other 2 get no images" in done.stderr
    (answer,) = ppcls.load_predictor(recipe.parent / "out", topk=6).predict(recipe.parent / "train" / "cat" / "0.png")
    assert sorted(answer["label_names"]) == ["bee", "cat", "dog", "eel", "unused_4", "unused_5"]
    assert run("eval", "-c", recipe, "-o", *changes, "Global.pretrained_model=out/best_model").stdout
    with pytest.raises(ConfigError, match=r"is 3, and DataLoader\.Train has 4 classes"):
        ppcls.train(recipe, changes=["Arch.class_num=3", "Global.allow_unused_classes=true"])


def test_lists_without_names(tmp_path, run):
    write_folders(tmp_path / "train", NAMES, 4)
    write_list(tmp_path / "list.txt", tmp_path / "train", {"bee": 0, "cat": 1, "dog": 2, "eel": 4})
    data = listed(tmp_path / "list.txt")
    recipe = write_colour_recipe(tmp_path / "recipe.yaml", data, data, epochs=1)
    assert "class_num: 5 # inferred from DataLoader.Train: its highest label" in shown(
        run("config", "-c", recipe).stdout
    )
    done = run("train", "-c", recipe, "-o", "Arch.class_num=8")
    assert "images of 4 of the 8 classes (Arch.class_num, -o Arch.class_num=8), with labels from 0 to 4" in done.stderr
    assert "label 4 is outside 0..3" in run("train", "-c", recipe, "-o", "Arch.class_num=4", code=2).stderr


def test_named_classes_without_images_are_said(tmp_path, run):
    write_folders(tmp_path / "train", NAMES, 2)
    write_list(tmp_path / "list.txt", tmp_path / "train", {"bee": 0, "cat": 1, "dog": 2, "eel": 5})
    (tmp_path / "labels.txt").write_text("bee\ncat\ndog\nfox\ngnu\neel\n")
    data = listed(tmp_path / "list.txt")
    recipe = write_colour_recipe(tmp_path / "recipe.yaml", data, data, epochs=1)
    assert "DataLoader.Train has no images of 2 of its 6 classes: fox, gnu" in run("train", "-c", recipe).stderr
    with_relabel = (f"DataLoader.{side}.dataset.relabel=true" for side in ("Train", "Eval"))
    done = run("train", "-c", recipe, "-o", *with_relabel)
    assert "has no images" not in done.stderr
    assert "no images for" not in done.stderr


def test_models_of_a_distillation_have_as_many(recipe, run):
    values = yaml.safe_load(recipe.read_text())
    peer = {"name": "ConvMixer", "dim": 8, "depth": 1, "kernel_size": 3, "patch_size": 4, "frozen": False}
    values["Distillation"] = {"models": {"Other": peer}}
    pairs = {"DistillationDMLLoss": {"model_name_pairs": [["Student", "Other"]]}}
    values["Loss"] = {"Train": [{"CELoss": None}, pairs]}
    recipe.write_text(yaml.safe_dump(values))
    run("train", "-c", recipe)
    change = "Distillation.models.Other.class_num=7"
    error = run("train", "-c", recipe, "-o", change, code=2).stderr
    assert f"-o {change}: Distillation.models.Other.class_num: 7, and the training data have 4 classes" in error


def test_topk_above_the_class_count_is_reduced(recipe, run):
    changes = ("Metric.Eval.0.TopkAcc.topk=[1,5,9]", "Global.best_metric=top5")
    done = run("train", "-c", recipe, "-o", *changes)
    assert json.loads(done.stdout) == {"top4": 1.0, "epoch": 1}
    assert done.stderr.count("with 4 classes top5 is reported as top4, top9 is reported as top4") == 1
    assert "top4: 1.00000" in done.stderr
    done = run("eval", "-c", recipe, "-o", *changes[:1], "Global.pretrained_model=out/best_model")
    assert set(json.loads(done.stdout)) == {"CELoss", "loss", "top1", "top4"}
    image = f"Infer.infer_imgs={recipe.parent}/train/cat/0.png"
    weights = "Global.pretrained_model=out/best_model"
    done = run("infer", "-c", recipe, "-o", weights, "Infer.PostProcess.topk=5", image)
    assert "Infer.PostProcess.topk: 5, and there are 4 classes: answers have all of them" in done.stderr
    assert len(json.loads(done.stdout)[0]["class_ids"]) == 4
