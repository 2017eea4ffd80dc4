"""``ppcls check`` of folders, lists and shards, and its page."""

import json
import re
import shutil

import cv2
import pytest

from tests.helpers.class_folders import fill
from tests.helpers.multilabel import write_multilabel_lists


def test_a_folder_is_checked_and_left_as_it_is(spoiled, run, tmp_path):
    before = sorted(spoiled.rglob("*"))
    done = run("check", spoiled, "--workers", "1", code=1)
    assert json.loads(done.stdout) == {
        "ok": False,
        "images": {"All": 45},
        "counts": {"broken": 1, "conflicting_labels": 1, "copies": 1, "near_conflicts": 1, "near_copies": 1},
    }
    report = json.loads((tmp_path / "photos_check.json").read_text())
    assert report["classes"] == {"All": {"cat": 23, "dog": 22}}
    assert report["sizes"]["All"]["smallest"] == [58, 58]
    problems = report["problems"]
    assert "cut.jpg: the JPEG is truncated" in problems["broken"][0]
    (conflict,) = problems["conflicting_labels"]
    assert conflict == f"{spoiled}/cat/02.jpg (cat) = {spoiled}/dog/cat.jpg (dog)"
    assert "dog again.jpg (cat)" in problems["near_conflicts"][0] and "30.jpg (dog)" in problems["near_conflicts"][0]
    assert problems["copies"] == [f"{spoiled}/cat/00.jpg = {spoiled}/cat/copy.jpg"]
    assert sorted(spoiled.rglob("*")) == before
    assert re.search(r"^1 cannot be read:\n  \S+cut.jpg: the JPEG is truncated", done.stderr, re.MULTILINE)
    ending = done.stderr.splitlines()[-4:]
    assert ending[0].startswith("checked 45 images: 1 cannot be read; 1 group of copies with different labels; ")
    assert ending[1].split() == ["all", "of", "them:", "photos_check.html"]
    assert ending[3] == "next: ppcls check photos"


def test_the_page_shows_classes_first_and_the_copies_beside_each_other(spoiled, run, tmp_path):
    run("check", spoiled, "--workers", "1", code=1)
    page = (tmp_path / "photos_check.html").read_text()
    assert "<script" not in page and "http" not in page  # nothing is loaded from elsewhere
    assert page.index("<h3>cat</h3>") < page.index("<details>")
    assert page.count("<details>") == 5  # one for each kind of finding
    assert page.count("data:image/jpeg;base64,") == 2 * 12 + 4 * 2  # of two classes, and of four groups of copies
    conflict = page[page.index("id='conflicting_labels'") :].partition("</details>")[0]
    assert re.findall(r"<b>(\w+)</b>", conflict) == ["cat", "dog"]


def test_a_clean_folder_leads_to_training(photos, run):
    done = run("check", photos, "--out", "pages")
    assert json.loads(done.stdout) == {"ok": True, "images": {"All": 40}, "counts": {}}
    assert done.stderr.endswith("next: ppcls train photos\n")
    assert "ppcls train photos" in (photos.parent / "pages" / "photos_check.html").read_text()


def to_grey(paths):
    for path in paths:
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def test_a_grey_set_is_not_unusual_and_a_colour_image_in_it_is(photos, run, tmp_path):
    paths = sorted(photos.rglob("*.jpg"))
    to_grey(paths)
    done = run("check", photos, "--workers", "1")
    assert json.loads(done.stdout)["counts"] == {}
    assert "nothing wrong was found" in done.stderr
    assert json.loads((tmp_path / "photos_check.json").read_text())["modes"] == {"All": {"grey": 40}}
    assert "; all grey" in (tmp_path / "photos_check.html").read_text()
    cv2.imwrite(str(paths[7]), cv2.applyColorMap(cv2.imread(str(paths[7])), cv2.COLORMAP_JET))
    done = run("check", photos, "--workers", "1")
    assert "no errors; worth a look: 1 in another colour mode than most" in done.stderr
    report = json.loads((tmp_path / "photos_check.json").read_text())
    assert report["problems"]["unusual"] == [f"{paths[7]}: colour"]
    assert "39 grey, 1 colour" in (tmp_path / "photos_check.html").read_text()


def test_half_a_set_in_grey_is_unusual(photos, run, tmp_path):
    to_grey(sorted((photos / "cat").iterdir()))
    assert json.loads(run("check", photos, "--workers", "1").stdout)["counts"] == {"unusual": 20}


def test_what_training_leaves_out_is_no_reason_not_to_train(photos, run):
    (photos / "cat" / "cut.jpg").write_bytes((photos / "cat" / "00.jpg").read_bytes()[:300])
    done = run("check", photos, "--workers", "1", code=1)
    assert done.stderr.endswith("next: ppcls train photos\n")


def test_folders_for_training_and_validation_are_compared(photos, run, tmp_path):
    for name in ("cat", "dog"):
        for split in ("train", "val"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
    for path in sorted(photos.rglob("*.jpg")):
        split = "val" if path.stem.endswith("5") else "train"
        shutil.copy(path, tmp_path / "set" / split / path.parent.name / path.name)
    shutil.copy(photos / "dog" / "21.jpg", tmp_path / "set" / "val" / "dog" / "seen.jpg")
    done = run("check", tmp_path / "set", code=1)
    assert json.loads(done.stdout)["images"] == {"Train": 36, "Eval": 5}
    assert json.loads(done.stdout)["counts"] == {"shared_copies": 1}
    assert "Train set/train/dog/21.jpg = Eval set/val/dog/seen.jpg" in done.stderr.replace(f"{tmp_path}/", "")


def test_a_list_of_several_classes_per_image(digits, run, tmp_path):
    shutil.copytree(digits, tmp_path / "digits")
    write_multilabel_lists(tmp_path / "digits", tmp_path / "digits")
    done = run("check", tmp_path / "digits" / "train_list.txt")
    assert json.loads(done.stdout)["images"] == {"All": 120}
    report = json.loads((tmp_path / "train_list_check.json").read_text())
    assert list(report["classes"]["All"]) == ["even", "large", "prime"]
    lines = (tmp_path / "digits" / "train_list.txt").read_text().splitlines()
    labels = [list(map(int, line.split("\t")[1].split(","))) for line in lines]
    assert list(report["classes"]["All"].values()) == [sum(column) for column in zip(*labels)]
    assert report["labels_per_image"]["All"]["none"] == sum(not any(row) for row in labels)
    assert "labels per image" in (tmp_path / "train_list_check.html").read_text()


def test_shards_are_checked(run, tmp_path):
    fill(tmp_path / "in", ["a", "b"], 12)
    run("pack-data", tmp_path / "in", "--out", tmp_path / "shards", "--shard-samples", "10", "--workers", "1")
    done = run("check", tmp_path / "shards", "--workers", "1")
    assert json.loads(done.stdout) == {"ok": True, "images": {"All": 24}, "counts": {}}
    assert (tmp_path / "shards_check.html").is_file()


def test_classes_with_few_images_are_named(run, tmp_path):
    fill(tmp_path / "in", ["a", "b"], 1)
    done = run("check", tmp_path / "in", "--workers", "1")
    report = json.loads((tmp_path / "in_check.json").read_text())
    assert report["problems"]["few_images"] == ["a: 1 image", "b: 1 image"]
    assert json.loads(done.stdout)["ok"]
    assert re.search(r"`ppcls train` would refuse \S+: 2 of 2 classes have fewer than 2 images", done.stderr)
    assert "next: ppcls check in" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either DATA"),
        (("photos", "-c", "recipe.yaml"), "give either DATA"),
        (("photos", "-o", "Global.epochs=1"), "-o: is of a recipe, and DATA has none"),
        (("nowhere",), "nowhere: no such file or folder"),
        (("empty",), "is empty"),
        (("photos/cat",), "has images and no folders"),
        (("photos/cat/00.jpg",), "is one image"),
    ],
)
def test_what_cannot_be_checked(photos, run, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    done = run("check", *arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*_check.*"))


def test_check_data_is_another_name(photos, run):
    assert "check-data" in run("--help").stdout
    assert json.loads(run("check-data", photos).stdout)["ok"]
