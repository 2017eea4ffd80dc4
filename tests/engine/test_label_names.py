"""Which class names a model answers with: of a file, of its own run, or ImageNet's."""

import hashlib
import json
import re
import shutil

import numpy as np
import paddle
import pytest
import yaml

import ppcls
from ppcls.arch import BACKBONES, model_spec
from ppcls.arch.registry import _SPECS
from ppcls.data.datasets import label_files
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


def test_a_thousand_classes_of_something_else_have_no_names_of_imagenet(thousand):
    assert answer(ppcls.load_config(thousand / "recipe.yaml"))[1] == []


@pytest.mark.parametrize("given", [PADDLECLAS, str(imagenet.LABEL_LIST), "copy"])
def test_names_of_imagenets_folders_alone_are_replaced(thousand, run, monkeypatch, tmp_path, given):
    """Folders of another thousand synsets, and names of the user's, are not ImageNet's."""
    recipe = thousand / "recipe.yaml"
    file = shutil.copy(imagenet.LABEL_LIST, tmp_path) if given == "copy" else given
    shutil.copy(thousand / "w.pdparams", tmp_path)

    def infer(names):
        monkeypatch.setattr(label_names.saved_classes, "class_names", lambda prefix: names)
        done = run("infer", "-c", recipe, "-o", f"Global.pretrained_model={tmp_path}/w", f"{KEY}={file}")
        (found,) = json.loads(done.stdout)
        return found["class_ids"], found["label_names"], done.stderr

    folders = [f"n{number:08d}" for number in range(1000)]
    for own in (folders, [f"my-{number}" for number in range(1000)], None):
        ids, names, said = infer(own)
        if own is None:
            assert names == (named(ids) if given == "copy" else [])
        else:
            assert names == [own[index] for index in ids]
        if given == PADDLECLAS:
            assert f"class_id_map_file: no such file: {PADDLECLAS}; ignored" in said
        elif given != "copy":
            assert "has ImageNet's names, but the model is not known to be for ImageNet; ignored" in said
    monkeypatch.setattr(imagenet, "FOLDERS_SHA256", hashlib.sha256("\n".join(folders).encode()).hexdigest())
    ids, names, said = infer(folders)
    assert names == named(ids)
    assert ("does not exist; using the ImageNet names that ship with ppcls" in said) == (given == PADDLECLAS)


def test_the_digest_is_that_of_imagenets_folders():
    assert not label_files.are_imagenet_folders([f"n{number:08d}" for number in range(1000)])
    assert not label_files.are_imagenet_folders(["n01440764"])
    assert re.fullmatch(r"[0-9a-f]{64}", imagenet.FOLDERS_SHA256)


@pytest.fixture
def published(thousand, tmp_path, monkeypatch):
    """Return a recipe of a published variant as small as that of ``thousand``, whose file is in the cache."""
    content = (thousand / "w.pdparams").read_bytes()
    values = yaml.safe_load((thousand / "recipe.yaml").read_text())
    facts = {
        "name": "ConvMixer_tiny",
        "family": "ConvMixer",
        "params": 0,
        "macs": 0,
        "top1": None,
        "image_size": 16,
        "crop_pct": 1.0,
        "paper": "",
        "url": "http://127.0.0.1:9/tiny.pdparams",
        "sha256": hashlib.sha256(content).hexdigest()[:8],
    }
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "tiny.pdparams").write_bytes(content)
    monkeypatch.setenv("PPCLS_HOME", str(tmp_path))
    arguments = {key: values["Arch"].pop(key) for key in list(values["Arch"]) if key not in ("name", "class_num")}
    values["Arch"]["name"] = "ConvMixer_tiny"
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    BACKBONES.register(BACKBONES["ConvMixer"].target, name="ConvMixer_tiny", defaults=arguments)

    def publish(**changes):
        monkeypatch.setitem(_SPECS, "ConvMixer_tiny", model_spec.ModelSpec(**{**facts, **changes}))
        return path

    yield publish
    del BACKBONES._entries["ConvMixer_tiny"]


@pytest.mark.parametrize("name", [None, PADDLECLAS])
@pytest.mark.parametrize("weights", ["path", "true"])
def test_published_weights_answer_with_imagenets_names(published, thousand, tmp_path, monkeypatch, weights, name):
    monkeypatch.chdir(tmp_path)  # in the project there is such a file
    path = {"Global.pretrained_model": f"{thousand}/w.pdparams"}
    pretrained = {"Global.pretrained_model": None, "Arch.pretrained": True}
    changes = {**(path if weights == "path" else pretrained), KEY: name}
    config = ppcls.load_config(published(), changes)
    ids, names = answer(config)
    assert names == named(ids)
    ppcls.export(ppcls.load_config(config, {"Global.save_inference_dir": f"{tmp_path}/model"}))
    (exported,) = ppcls.Predictor(tmp_path / "model").predict(config.Infer.infer_imgs)
    assert (exported["class_ids"], exported["label_names"]) == (ids, names)
    for other in ({"url": None}, {"class_num": 10}, {"url": "http://x/y", "sha256": "0" * 8}):
        if weights == "path" or "url" not in other:
            assert answer(ppcls.load_config(published(**other), changes))[1] == []


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
    said = "class_id_map_file: no such file: ppcls/nowhere.txt; ignored"
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
    done = run("infer", "-c", recipe, "-o", weights, f"{KEY}={imagenet.LABEL_LIST}")
    assert f"{imagenet.LABEL_LIST} has 1000 names for 10 classes; ignored" in done.stderr
    assert json.loads(done.stdout)[0]["label_names"] == []
    done = run("infer", "-c", recipe, "-o", weights, f"{KEY}={PADDLECLAS}")
    assert f"class_id_map_file: no such file: {PADDLECLAS}; ignored" in done.stderr
    assert json.loads(done.stdout)[0]["label_names"] == []
    (tmp_path / "twice.txt").write_text("0 a\n0 b\n")
    done = run("infer", "-c", recipe, "-o", weights, f"{KEY}={tmp_path}/twice.txt", code=2)
    assert "twice.txt:2: class 0 has a name already" in done.stderr


@pytest.mark.parametrize("kind", ["digits", "folders"])
def test_a_run_with_the_imagenet_recipes_file_keeps_its_names_if_it_lists_imagenet(
    thousand, digits, tmp_path, monkeypatch, kind
):
    """The folders of the list tell whether its classes are ImageNet's."""
    monkeypatch.chdir(tmp_path)  # in the project there is such a file
    data = tmp_path / "data"
    data.mkdir()
    (data / "train").symlink_to(digits / "train")
    (data / "train_list.txt").symlink_to(digits / "train_list.txt")
    if kind == "folders":
        folders = [f"n{number:08d}" for number in range(1000)]
        monkeypatch.setattr(imagenet, "FOLDERS_SHA256", hashlib.sha256("\n".join(folders).encode()).hexdigest())
        (data / "train_list.txt").unlink()
        for folder in folders:
            (data / folder).symlink_to(digits / "train")
        image = next((digits / "train").iterdir()).name
        lines = (f"{folder}/{image} {number}\n" for number, folder in enumerate(folders))
        (data / "train_list.txt").write_text("".join(lines))
    changes = {
        KEY: PADDLECLAS,
        "DataLoader.Train.dataset.image_root": str(data),
        "DataLoader.Train.dataset.cls_label_path": f"{data}/train_list.txt",
        "Global.eval_during_train": False,
        "Global.pretrained_model": None,
        "Global.output_dir": f"{tmp_path}/out",
        "Global.epochs": 1,
    }
    ppcls.train(ppcls.load_config(thousand / "recipe.yaml", changes))
    states = json.loads((tmp_path / "out" / "latest.pdstates").read_text())
    assert states["class_names"] == (named(np.arange(1000)) if kind == "folders" else None)
