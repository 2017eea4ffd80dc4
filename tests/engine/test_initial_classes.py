"""Weights to train from whose classes are known: put into the order of the data, left out, or used as they are."""

import json
import shutil

import numpy as np
import pytest
import yaml

import ppcls
from ppcls.errors import ConfigError
from ppcls.weights import restricted_load
from tests.helpers.colours import COLOURS, folder, listed, write_colour_recipe, write_folders, write_list
from tests.helpers.command_line import run_ppcls

NAMES = ("ant", "bat", "cow", "doe")
ORDER = [2, 0, 3, 1]  # of the second data set: cow, ant, doe, bat
STILL = ("Optimizer.lr={name: ConstLR, learning_rate: 0.0}", "Global.epochs=1")  # a run keeps the head it begins with
REORDERED = "put the classifier's outputs into the order of the classes here, matched by name"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Return a folder with data, a recipe and a run on four classes in the order of their names."""
    place = tmp_path_factory.mktemp("base")
    write_folders(place / "data", dict(zip(COLOURS, NAMES)), 4)
    recipe = write_colour_recipe(place / "recipe.yaml", folder(place / "data"), folder(place / "data"), epochs=2)
    run_ppcls("train", "-c", recipe, cwd=place)
    run_ppcls("convert", "out/best_model.pdparams", "kept.safetensors", *options(recipe), cwd=place)
    return place


def options(recipe):
    arguments = {key: value for key, value in yaml.safe_load(recipe.read_text())["Arch"].items() if key != "name"}
    return ["--model", "ConvMixer", *(f"--argument={key}={value}" for key, value in arguments.items())]


@pytest.fixture
def reordered(base, tmp_path):
    """Return a recipe on the same images, numbered otherwise by a list and a labels.txt."""
    return write_reordered(base, tmp_path, [NAMES[index] for index in ORDER])


def write_reordered(base, place, names):
    shutil.copytree(base / "data", place / "data")
    write_list(place / "list.txt", place / "data", {NAMES[index]: place_ for place_, index in enumerate(ORDER)})
    (place / "labels.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(names)))
    return write_colour_recipe(place / "recipe.yaml", listed(place / "list.txt"), listed(place / "list.txt"))


def arrays(prefix):
    return restricted_load(prefix.with_name(prefix.name + ".pdparams"))


def train(run, recipe, weights, *changes, **arguments):
    return run("train", "-c", recipe, "-o", *STILL, f"Global.pretrained_model={weights}", *changes, **arguments).stderr


@pytest.mark.parametrize("weights", ["out/best_model", "kept.safetensors"])
def test_the_same_classes_in_another_order(base, reordered, run, tmp_path, weights):
    said = train(run, reordered, base / weights)
    assert said.count(REORDERED) == 1 and "freshly initialised" not in said
    before, now = arrays(base / "out" / "best_model"), arrays(tmp_path / "out" / "latest")
    np.testing.assert_array_equal(now["head.weight"], before["head.weight"][:, ORDER])
    np.testing.assert_array_equal(now["head.bias"], before["head.bias"][ORDER])
    first = next(iter(before))
    np.testing.assert_array_equal(now[first], before[first])


def test_other_classes_of_the_same_number_get_a_new_classifier(base, run, tmp_path):
    recipe = write_reordered(base, tmp_path, ["elk", "ant", "doe", "bat"])
    said = train(run, recipe, base / "out" / "best_model")
    line = f"{base}/out/best_model is for other classes than the data: a new classifier is trained"
    assert said.count(line) == 1
    assert "the weights (4): ant, bat, cow, doe\n" in said and "the data (4): elk, ant, doe, bat\n" in said
    assert "left out head.weight, head.bias, freshly initialised: head.bias, head.weight" in said
    before, now = arrays(base / "out" / "best_model"), arrays(tmp_path / "out" / "latest")
    assert not np.isin(now["head.weight"], before["head.weight"]).any()
    first = next(iter(before))
    np.testing.assert_array_equal(now[first], before[first])


@pytest.mark.parametrize("known", ["the same", "only to the data", "only to the weights"])
def test_classes_that_are_the_same_or_not_known_change_nothing(base, reordered, run, tmp_path, known):
    weights = base / "out" / "best_model"
    recipe = base / "recipe.yaml" if known == "the same" else reordered
    if known == "only to the data":
        shutil.copy(base / "out" / "best_model.pdparams", tmp_path / "other.pdparams")
        weights = tmp_path / "other"
    if known == "only to the weights":
        (tmp_path / "labels.txt").unlink()
    said = train(run, recipe, weights, f"Global.output_dir={tmp_path}/out")
    assert REORDERED not in said and "other classes" not in said and "freshly" not in said
    before, now = arrays(base / "out" / "best_model"), arrays(tmp_path / "out" / "latest")
    np.testing.assert_array_equal(now["head.weight"], before["head.weight"])


def test_stages_with_other_data(base, reordered, run, tmp_path):
    values = yaml.safe_load(reordered.read_text())
    first = {f"DataLoader.{side}.dataset": {"_delete_": True, **section(base, side)} for side in ("Train", "Eval")}
    values["Stages"] = [{"name": "one", "override": first}, {"name": "two"}]
    reordered.write_text(yaml.safe_dump(values))
    said = run("train", "-c", reordered, "-o", *STILL).stderr
    assert said.count(REORDERED) == 1
    one, two = (arrays(tmp_path / "out" / name / "latest") for name in ("one", "two"))
    np.testing.assert_array_equal(two["head.weight"], one["head.weight"][:, ORDER])


def section(base, side):
    return yaml.safe_load((base / "recipe.yaml").read_text())["DataLoader"][side]["dataset"]


def test_a_frozen_teacher_answers_in_the_order_of_the_data(base, reordered, run, tmp_path):
    """It teaches its own pupil nothing: the loss between a model and itself is 0 at a temperature of 1."""
    arch = yaml.safe_load(reordered.read_text())["Arch"]
    teacher = {**arch, "pretrained": str(base / "out" / "best_model")}
    values = yaml.safe_load(reordered.read_text())
    values["Distillation"] = {"teacher": teacher, "alpha": 1.0, "kind": "hard"}
    reordered.write_text(yaml.safe_dump(values))
    said = train(run, reordered, base / "out" / "best_model")
    assert said.count(REORDERED) == 2  # of the teacher and of the pupil
    (tmp_path / "labels.txt").write_text("0 elk\n1 ant\n2 doe\n3 bat\n")
    with pytest.raises(ConfigError, match="was trained on other classes: class 0 is 'ant' for the teacher and 'elk'"):
        ppcls.train(reordered, changes=["Global.output_dir=" + str(tmp_path / "again")])


def test_converted_weights_keep_the_names(base, run, tmp_path):
    """Inference answers with them, and the class count follows from the file."""
    image = next((base / "data" / "doe").iterdir())
    gone = [f"DataLoader.{side}.dataset.image_root={tmp_path}/gone" for side in ("Train", "Eval")]
    weights = f"Global.pretrained_model={base}/kept.safetensors"
    done = run("infer", "-c", base / "recipe.yaml", "-o", weights, *gone, f"Infer.infer_imgs={image}")
    own = run("infer", "-c", base / "recipe.yaml", "-o", f"Global.pretrained_model={base}/out/best_model", *gone,
              f"Infer.infer_imgs={image}")  # fmt: skip
    assert json.loads(done.stdout) == json.loads(own.stdout)
    assert sorted(json.loads(done.stdout)[0]["label_names"]) == list(NAMES)
    assert f"Arch.class_num is not in the recipe: 4 (that of the classifier in {base}/kept.safetensors)" in done.stderr
    said = run("convert", base / "out" / "best_model.pdparams", tmp_path / "plain.pth", *options(base / "recipe.yaml"))
    assert "this format cannot keep the names of the 4 classes; convert to .safetensors" in said.stderr
    assert json.loads(said.stdout)["recorded"] is False
