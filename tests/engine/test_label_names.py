"""Which class names a model answers with: of a file, of its own run, or ImageNet's."""

import dataclasses
import hashlib
import json

import numpy as np
import paddle
import pytest
import yaml

import ppcls
from ppcls.arch import model_spec
from ppcls.data.datasets.names import read_class_names
from ppcls.engine import label_names
from ppcls.utils import imagenet
from tests.helpers.recipes import write_recipe

PADDLECLAS = "ppcls/utils/imagenet1k_label_list.txt"
KEY = "Infer.PostProcess.class_id_map_file"


def test_the_shipped_names():
    lines = imagenet.LABEL_LIST.read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == [str(number) for number in range(1000)]
    names = read_class_names(imagenet.LABEL_LIST)
    assert (names[0], names[1]) == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert names[207] == "golden retriever"
    assert names[999] == "toilet tissue, toilet paper, bathroom tissue"
    assert all(name == name.strip() and name for name in names)


@pytest.fixture(scope="module")
def thousand(digits, tmp_path_factory):
    """Return the folder of a recipe with 1000 classes and weights of it without class names (w.pdparams)."""
    folder = tmp_path_factory.mktemp("thousand")
    path = write_recipe(digits, folder)
    values = yaml.safe_load(path.read_text())
    values["Arch"]["class_num"] = 1000
    values["Global"]["pretrained_model"] = f"{folder}/w"
    values["Infer"] = {"infer_imgs": f"{digits}/val/000.png"}
    path.write_text(yaml.safe_dump(values))
    arguments = {key: value for key, value in values["Arch"].items() if key not in ("name", "class_num")}
    paddle.seed(0)
    paddle.save(ppcls.create_model("ConvMixer", class_num=1000, **arguments).state_dict(), f"{folder}/w.pdparams")
    return folder


def answer(config):
    (result,) = ppcls.infer(config)
    return result["class_ids"], result["label_names"]


def named(ids):
    names = read_class_names(imagenet.LABEL_LIST)
    return [names[index] for index in ids]


def test_the_name_of_paddleclas_means_ours_where_there_is_no_such_file(thousand, run, tmp_path):
    recipe = thousand / "recipe.yaml"
    done = run("infer", "-c", recipe, "-o", f"{KEY}={PADDLECLAS}")
    (found,) = json.loads(done.stdout)
    assert found["label_names"] == named(found["class_ids"])
    assert f"{PADDLECLAS}: not here; the names of ImageNet's classes that come with ppcls are used" in done.stderr
    run("export", "-c", recipe, "-o", f"{KEY}={PADDLECLAS}", f"Global.save_inference_dir={tmp_path}/model")
    (exported,) = ppcls.Predictor(tmp_path / "model").predict(found["file_name"])
    assert exported["label_names"] == named(exported["class_ids"])


def test_a_thousand_classes_of_something_else_have_no_names_of_imagenet(thousand):
    assert answer(ppcls.load_config(thousand / "recipe.yaml"))[1] == []


def test_names_of_the_run_are_not_replaced_by_imagenets(thousand, monkeypatch):
    config = ppcls.load_config(thousand / "recipe.yaml", {KEY: PADDLECLAS})
    own = [f"my-{number}" for number in range(1000)]
    monkeypatch.setattr(label_names.saved_classes, "class_names", lambda prefix: own)
    ids, names = answer(config)
    assert names == [own[index] for index in ids]
    folders = [f"n{number:08d}" for number in range(1000)]  # the folders of ImageNet, whose names nobody reads
    monkeypatch.setattr(label_names.saved_classes, "class_names", lambda prefix: folders)
    ids, names = answer(config)
    assert names == named(ids)


@pytest.mark.parametrize("weights", ["path", "true"])
def test_published_weights_answer_with_imagenets_names(thousand, monkeypatch, tmp_path, weights):
    """The published weights of a tiny variant: what counts is that the file is that of the variant's facts."""
    recipe = thousand / "recipe.yaml"
    content = (thousand / "w.pdparams").read_bytes()
    facts = model_spec.ModelSpec(
        name="ConvMixer",
        family="ConvMixer",
        params=0,
        macs=0,
        top1=None,
        image_size=16,
        crop_pct=1.0,
        paper="",
        url="http://127.0.0.1:9/w.pdparams",
        sha256=hashlib.sha256(content).hexdigest()[:8],
    )
    monkeypatch.setattr(label_names, "list_models", lambda: ["ConvMixer"])
    monkeypatch.setattr(label_names, "spec", lambda name: facts)
    if weights == "path":
        config = ppcls.load_config(recipe, {"Global.pretrained_model": f"{thousand}/w.pdparams"})
    else:
        monkeypatch.setattr("ppcls.weights.factory.list_models", lambda: ["ConvMixer"])
        monkeypatch.setattr("ppcls.weights.factory.spec", lambda name: facts)
        monkeypatch.setenv("PPCLS_HOME", str(tmp_path))
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / "w.pdparams").write_bytes(content)
        config = ppcls.load_config(recipe, {"Global.pretrained_model": None, "Arch.pretrained": True})
    ids, names = answer(config)
    assert names == named(ids)
    ppcls.export(ppcls.load_config(config, {"Global.save_inference_dir": f"{tmp_path}/model"}))
    (exported,) = ppcls.Predictor(tmp_path / "model").predict(config.Infer.infer_imgs)
    assert (exported["class_ids"], exported["label_names"]) == (ids, names)
    for other in ({"url": None}, {"class_num": 10}, {"url": "http://x/y", "sha256": "0" * 8}):
        changed = dataclasses.replace(facts, **other)
        monkeypatch.setattr(label_names, "spec", lambda name, changed=changed: changed)
        if weights == "path" or "sha256" not in other:
            assert answer(config)[1] == []


def test_a_missing_file_is_a_warning_everywhere(digits, recipe, run, tmp_path):
    no_labels = tmp_path / "data"
    no_labels.mkdir()
    for file in ("train", "val", "train_list.txt", "val_list.txt"):
        (no_labels / file).symlink_to(digits / file)
    values = yaml.safe_load(recipe.read_text())
    for side, name in (("Train", "train"), ("Eval", "val")):
        dataset = values["DataLoader"][side]["dataset"]
        dataset.update(image_root=str(no_labels), cls_label_path=f"{no_labels}/{name}_list.txt")
    values["Infer"] = {"infer_imgs": f"{digits}/val/000.png", "PostProcess": {"class_id_map_file": "ppcls/nowhere.txt"}}
    recipe.write_text(yaml.safe_dump(values))
    said = "class_id_map_file: no such file: ppcls/nowhere.txt; going on without it"
    done = run("train", "-c", recipe)
    assert f"{recipe}:" in done.stderr
    assert said in done.stderr
    weights = f"Global.pretrained_model={tmp_path}/out/best_model"
    done = run("infer", "-c", recipe, "-o", weights)
    assert said in done.stderr
    assert json.loads(done.stdout)[0]["label_names"] == []
    assert said in run("export", "-c", recipe, "-o", weights).stderr
    assert ppcls.Predictor(tmp_path / "inference").predict(digits / "val" / "000.png")[0]["label_names"] == []
    assert run("eval", "-c", recipe, "-o", weights).returncode == 0

    # Of another length: 1000 names for 10 classes.
    done = run("infer", "-c", recipe, "-o", weights, f"{KEY}={PADDLECLAS}")
    assert f"{PADDLECLAS} has 1000 names for 10 classes (Arch.class_num); going on without it" in done.stderr
    assert json.loads(done.stdout)[0]["label_names"] == []
    (tmp_path / "twice.txt").write_text("0 a\n0 b\n")
    done = run("infer", "-c", recipe, "-o", weights, f"{KEY}={tmp_path}/twice.txt", code=2)
    assert "twice.txt:2: class 0 has a name already" in done.stderr


def test_a_run_with_the_imagenet_recipes_file_keeps_its_names_with_the_weights(thousand, digits, tmp_path):
    no_labels = tmp_path / "data"
    no_labels.mkdir()
    for file in ("train", "train_list.txt"):
        (no_labels / file).symlink_to(digits / file)
    changes = {
        KEY: PADDLECLAS,
        "DataLoader.Train.dataset.image_root": str(no_labels),
        "DataLoader.Train.dataset.cls_label_path": f"{no_labels}/train_list.txt",
        "Global.eval_during_train": False,
        "Global.pretrained_model": None,
        "Global.output_dir": f"{tmp_path}/out",
        "Global.epochs": 1,
    }
    ppcls.train(ppcls.load_config(thousand / "recipe.yaml", changes))
    states = json.loads((tmp_path / "out" / "latest.pdstates").read_text())
    assert states["class_names"] == named(np.arange(1000))
