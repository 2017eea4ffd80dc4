"""``ppcls compare``: two models on the same images."""

import json
import shutil
from html.parser import HTMLParser

import pytest

import ppcls
from ppcls.analysis import labelled_data
from ppcls.errors import DataError
from tests.helpers.command_line import run_ppcls
from tests.helpers.multilabel import write_multilabel_recipe
from tests.helpers.recipes import write_recipe


@pytest.fixture(scope="module")
def weaker(digits, tmp_path_factory):
    """Return the folder of a run of one epoch: its answers are mostly wrong."""
    folder = tmp_path_factory.mktemp("weaker")
    recipe = write_recipe(digits, folder)
    run_ppcls("train", "-c", recipe, "-o", "Global.epochs=1", cwd=folder)
    return folder / "out"


@pytest.fixture
def class_folders(digits, tmp_path):
    """Return the validation images in class folders, whose names in order are not those of the class ids."""
    folder = tmp_path / "photos"
    for line in (digits / "val_list.txt").read_text().splitlines():
        name, digit = line.split()
        target = folder / f"digit-{digit}"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(digits / name, target)
    return folder


def test_two_runs_on_the_data_of_the_first(trained, weaker, run, tmp_path):
    done = run("compare", trained / "out", weaker)
    result = json.loads(done.stdout)
    written = json.loads((tmp_path / "compare.json").read_text())
    assert {key: written[key] for key in result} == result
    assert result["images"] == 40
    for side, model in (("a", trained / "out"), ("b", weaker)):
        recipe = model.parent / "recipe.yaml"
        top1 = json.loads(run("eval", "-c", recipe, "-o", f"Global.pretrained_model={model}/best_model").stdout)["top1"]
        assert result[side]["accuracy"] == pytest.approx(top1)
        low, high = result[side]["interval"]
        assert low < top1 < high
        assert result[side]["trained_on"] == 0
    counts = result["counts"]
    assert sum(counts.values()) == 40
    assert counts["only A right"] - counts["only B right"] == result["a"]["correct"] - result["b"]["correct"]
    assert result["a"]["correct"] > result["b"]["correct"]
    assert result["verdict"].startswith("A is better:")
    assert result["p_value"] < 0.05
    different = {item["file_name"] for item in written["differences"]}
    assert len(different) >= counts["only A right"] + counts["only B right"]
    for item in written["differences"]:
        assert item["a"]["label_names"] != item["b"]["label_names"]
        assert item["a"]["right"] == (item["a"]["label_names"] == item["truth"])
    classes = {row["class"]: row for row in result["classes"]}
    assert sum(row["images"] for row in classes.values()) == 40
    found = sum(row["recall_a"] * row["images"] for row in classes.values() if row["images"])
    assert found == pytest.approx(result["a"]["correct"])


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.images += [dict(attrs)["src"]] if tag == "img" else []

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_shows_where_they_differ(trained, weaker, run, tmp_path):
    run("compare", trained / "out", weaker, "--out", "page.html")
    source = (tmp_path / "page.html").read_text()
    page = Page()
    page.feed(source)
    counts = json.loads((tmp_path / "page.json").read_text())["counts"]
    assert len(page.images) >= counts["only A right"] + counts["only B right"]
    assert all(image.startswith("data:image/jpeg;base64,") for image in page.images)
    assert "http" not in source
    text = " ".join(page.text)
    assert f"Only A right: {counts['only A right']}" in text
    assert "A is better" in text
    assert "digit-3" in text


def test_classes_are_matched_by_name_and_models_may_be_mixed(models, class_folders, run):
    onnx = models / "inference" / "inference.onnx"
    done = run("compare", models / "out", onnx, "--data", class_folders)
    result = json.loads(done.stdout)
    assert result["a"]["correct"] == result["b"]["correct"] > 20
    assert result["p_value"] == 1
    assert result["verdict"].startswith("No clear difference")
    assert result["counts"]["only A right"] == result["counts"]["only B right"] == 0


def test_images_of_the_training_are_told(trained, digits, run):
    done = run("compare", trained / "out", trained / "out" / "latest", "--data", digits / "train_list.txt")
    assert json.loads(done.stdout)["a"]["trained_on"] == 120
    assert "was trained on 120 of these 120 images" in done.stderr


def test_broken_images_are_left_out_of_both(trained, class_folders, run, tmp_path):
    (class_folders / "digit-0" / "broken.png").write_bytes(b"<html>")
    done = run("compare", trained / "out", trained / "out" / "latest", "--data", class_folders, code=2)
    assert json.loads(done.stdout)["images"] == 40
    (broken,) = json.loads((tmp_path / "compare.json").read_text())["broken"]
    assert broken["file_name"].endswith("broken.png")


def test_several_labels_per_image(digits, run, tmp_path):
    recipe = write_multilabel_recipe(digits, tmp_path)
    run("train", "-c", recipe)
    done = run("compare", tmp_path / "out" / "latest", tmp_path / "out" / "best_model")
    result = json.loads(done.stdout)
    assert result["multilabel"] is True
    assert {row["class"] for row in result["classes"]} == {"even", "large", "prime"}
    assert result["images"] == 40


def test_what_cannot_be_compared(models, digits, class_folders, run, tmp_path):
    export = models / "inference"
    assert "exported models have no data: give --data" in run("compare", export, export, code=2).stderr
    change = {"DataLoader.Eval.dataset.image_root": str(tmp_path / "nowhere")}
    with pytest.raises(DataError, match=r"nowhere.*say where such data are: --data"):
        labelled_data.open_data(None, [ppcls.load_predictor(models / "out", changes=change)])
    (class_folders / "digit-0").rename(class_folders / "zero")
    done = run("compare", models / "out", export, "--data", class_folders, code=2)
    assert "'zero' is not a class of" in done.stderr
    done = run("compare", models / "out", export, "--out", "x.json", code=2)
    assert "must end with .html" in done.stderr
    done = run("compare", models / "out", tmp_path / "none", code=2)
    assert "no such run folder" in done.stderr
