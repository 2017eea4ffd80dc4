"""split-data, check-data and show-data as processes, on real pictures that were spoiled on purpose."""

import json
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml

from ppcls.data.inspection.similarity import fingerprint, near_duplicate_groups
from tests.helpers.recipes import ROOT


def scene(seed, side=64):
    """Return a picture of smooth shapes: different for each seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(small, (side + seed % 7, side), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def photos(tmp_path):
    """Return class folders of 20 pictures each, in two classes."""
    for number in range(40):
        file = tmp_path / "photos" / ("cat" if number < 20 else "dog") / f"{number:02d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), scene(number))
    return tmp_path / "photos"


def recipe(folder, digits, **sides):
    """Write a recipe with these lists as its data."""
    normalize = [{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]
    ops = {"Train": [{"RandCropImage": {"size": 48}}, {"RandFlipImage": None}], "Eval": [{"ResizeImage": {"size": 48}}]}
    values = {"Arch": {"name": "ConvMLP_S", "class_num": 2}, "DataLoader": {}}
    for side, listed in sides.items():
        dataset = {"name": "ImageNetDataset", "image_root": str(folder), "cls_label_path": str(listed)}
        dataset["transform_ops"] = [{"DecodeImage": None}, *ops[side], *normalize]
        values["DataLoader"][side] = {"dataset": dataset, "sampler": {"batch_size": 8, "shuffle": side == "Train"}}
    path = folder.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def lines(path):
    return [line.rsplit(" ", 1) for line in path.read_text().splitlines()]


def test_split_by_class_reproducibly_with_copies_on_one_side(photos, run):
    first = cv2.imread(str(photos / "cat" / "00.jpg"))
    for number in range(6):  # a burst of nearly equal pictures
        cv2.imwrite(
            str(photos / "cat" / f"burst{number}.jpg"), cv2.resize(first, None, fx=0.9, fy=0.9), [1, 95 - number]
        )
    (photos / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    result = json.loads(run("split-data", photos, "--val", "0.25", "--seed", "3").stdout)
    train, val = lines(photos / "train_list.txt"), lines(photos / "val_list.txt")
    assert (len(train), len(val)) == (result["train"], result["val"])
    assert (photos / "labels.txt").read_text() == "0 cat\n1 dog\n"
    paths = [path for path, _ in (*train, *val)]
    assert len(set(paths)) == len(paths) == 46
    assert all((photos / path).is_file() for path in paths)
    assert len([path for path in result["left_out"] if "broken.jpg" in path]) == 1
    assert sum(label == "1" for _, label in val) == 5
    assert 4 <= sum(label == "0" for _, label in val) <= 7
    burst = {path in [p for p, _ in val] for path in paths if "burst" in path or path == "cat/00.jpg"}
    assert len(burst) == 1
    assert result["near_copies"] == 7
    again = photos.parent / "again"
    run("split-data", photos, "--val", "0.25", "--seed", "3", "--out", again)
    assert (again / "val_list.txt").read_text() == (photos / "val_list.txt").read_text()
    run("split-data", photos, "--val", "0.25", "--seed", "4", "--out", again, "--replace")
    assert (again / "val_list.txt").read_text() != (photos / "val_list.txt").read_text()


def test_split_refuses(photos, run):
    assert "expected a fraction between 0 and 1" in run("split-data", photos, "--val", "2", code=2).stderr
    assert "no such folder" in run("split-data", photos / "nothing", code=2).stderr
    run("split-data", photos)
    assert "there already; choose another --out, or --replace" in run("split-data", photos, code=2).stderr
    (photos / "empty").mkdir()
    assert "no images" in run("split-data", photos, "--replace", code=2).stderr


def test_a_clean_data_set_passes(photos, run, digits):
    run("split-data", photos)
    path = recipe(photos, digits, Train=photos / "train_list.txt", Eval=photos / "val_list.txt")
    done = run("check-data", "-c", path, "--out", "report")
    assert json.loads(done.stdout) == {"ok": True, "images": {"Train": 32, "Eval": 8}, "counts": {}}
    assert "nothing wrong was found" in (photos.parent / "report" / "report.html").read_text()


def test_everything_wrong_is_found(photos, run, digits):
    run("split-data", photos)
    train, val = photos / "train_list.txt", photos / "val_list.txt"
    kept = lines(train)[0][0]
    shutil.copy(photos / kept, photos / "copy.jpg")
    picture = cv2.imread(str(photos / lines(train)[1][0]))
    cv2.imwrite(str(photos / "near.jpg"), cv2.resize(picture, None, fx=0.8, fy=0.8), [1, 70])
    data = (photos / lines(train)[2][0]).read_bytes()
    (photos / "cut.jpg").write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(photos / "grey.png"), scene(100)[:, :, 0])
    cv2.imwrite(str(photos / "alpha.png"), cv2.cvtColor(scene(101), cv2.COLOR_BGR2BGRA))
    cv2.imwrite(str(photos / "deep.png"), scene(102).astype(np.uint16) * 257)
    cv2.imwrite(str(photos / "small.png"), scene(103, 40))
    extra = ["cut.jpg 0", "grey.png 0", "alpha.png 1", "deep.png 1", "small.png 1", "missing.jpg 0", f"{kept} 7"]
    train.write_text(train.read_text() + "\n".join(extra) + "\n")
    val.write_text(val.read_text() + "copy.jpg 0\nnear.jpg 1\n")
    path = recipe(photos, digits, Train=train, Eval=val)
    override = ("-o", "DataLoader.Train.dataset.on_error=skip")
    done = run("check-data", "-c", path, "--out", "report", "--workers", "1", *override, code=1)
    problems = json.loads((photos.parent / "report" / "report.json").read_text())["problems"]
    found = {name: " ".join(items) for name, items in problems.items()}
    assert "cut.jpg: the JPEG is truncated" in found["broken"]
    assert "missing.jpg: no such file" in found["broken"]
    assert "label 7 of 2 classes" in found["outside_labels"]
    assert f"{kept} = Eval" in found["shared_copies"]
    assert "near.jpg" in found["near_copies"]
    assert "near.jpg" in found["shared_copies"]
    assert kept in found["conflicting_labels"]
    assert "grey.png: grey" in found["unusual"]
    assert "alpha.png: alpha" in found["unusual"]
    assert "deep.png: 16 bit" in found["unusual"]
    assert "small.png: 45 x 40, the crop is 48" in found["too_small"]
    assert json.loads(done.stdout)["counts"]["broken"] == 2
    assert re.search(r"^2 cannot be read:\n  \S+cut.jpg: the JPEG is truncated", done.stderr, re.MULTILINE)
    assert "all of them: report/report.html" in done.stderr
    assert "grey.png" not in done.stderr
    page = (photos.parent / "report" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 5  # two classes on two sides, and class 7
    assert "Traceback" not in done.stderr


def test_what_the_model_sees_is_drawn(photos, run, digits):
    run("split-data", photos)
    path = recipe(photos, digits, Train=photos / "train_list.txt", Eval=photos / "val_list.txt")
    run("show-data", "-c", path, "-n", "4", "--split", "Eval", "--out", "eval.png")
    sheet = cv2.imread(str(photos.parent / "eval.png"))
    first = cv2.imread(str(photos / lines(photos / "val_list.txt")[0][0]))
    last = cv2.imread(str(photos / lines(photos / "val_list.txt")[-1][0]))
    for image, (top, left) in ((first, (4, 4)), (last, (-(96 + 4 + 15), -(96 + 4)))):
        expected = cv2.resize(image[:, :, ::-1], (48, 48))[:, :, ::-1]
        shown = sheet[top:, left:][:96, :96]
        np.testing.assert_allclose(shown[::2, ::2].astype(int), expected, atol=1)  # twice as large
        np.testing.assert_array_equal(shown[::2, ::2], shown[1::2, 1::2])
    mixed = "DataLoader.Train.dataset.batch_transform_ops=[{MixupCutmixOperator: }]"
    run("show-data", "-c", path, "-n", "9", "-o", mixed, "--out", "train.png")
    train = cv2.imread(str(photos.parent / "train.png"))
    assert train.shape[0] > 3 * 48
    run("show-data", "-c", path, "-n", "9", "-o", mixed, "--out", "again.png")
    assert np.array_equal(train, cv2.imread(str(photos.parent / "again.png")))
    run("show-data", "-c", path, "-n", "9", "--epoch", "1", "-o", mixed, "--out", "again.png")
    assert not np.array_equal(train, cv2.imread(str(photos.parent / "again.png")))
    assert "at least 1" in run("show-data", "-c", path, "-n", "0", code=2).stderr
    assert "cannot be written" in run("show-data", "-c", path, "--out", "no/where.png", code=2).stderr
    assert "name a .png or .jpg file" in run("show-data", "-c", path, "--out", "sheet.txt", code=2).stderr


def test_near_copies_and_nothing_else():
    pictures = [scene(number) for number in range(30)]
    prints = [fingerprint(picture) for picture in pictures]
    assert near_duplicate_groups(prints) == []
    edited = [
        cv2.imdecode(cv2.imencode(".jpg", pictures[0], [1, 60])[1], 1),
        cv2.resize(pictures[0], (40, 40), interpolation=cv2.INTER_AREA),
        np.clip(pictures[0].astype(int) + 4, 0, 255).astype(np.uint8),
    ]
    prints += [fingerprint(picture) for picture in edited] + [None]
    assert near_duplicate_groups(prints) == [[0, 30, 31, 32]]
    blurred = [cv2.resize(small, (64, 64)) for small in (pictures[1][::16, ::16], pictures[1][::16, ::16].copy())]
    cv2.circle(blurred[1], (40, 40), 12, (255, 255, 255), -1)
    assert near_duplicate_groups([fingerprint(picture) for picture in blurred]) == []
    flat = [fingerprint(np.full((20, 20, 3), value, np.uint8)) for value in (0, 5, 100, 200)]
    assert near_duplicate_groups(flat) == [[0, 1]]


@pytest.mark.parametrize("name", ["jpeg 40", "jpeg 95", "half", "brighter"])
def test_copies_of_photos_and_digits_are_found(name, digit_pictures):
    def edited(image):
        if name.startswith("jpeg"):
            return cv2.imdecode(cv2.imencode(".jpg", image, [1, int(name.split()[1])])[1], 1)
        if name == "half":
            return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return cv2.convertScaleAbs(image, alpha=1.04)

    def groups(originals):
        prints = [fingerprint(picture) for picture in originals]
        found = near_duplicate_groups(prints + [fingerprint(edited(picture)) for picture in originals])
        assert all(second == first + len(originals) for first, second in found)
        return len(found)

    assert groups([scene(number, 160) for number in range(40)]) == 40
    assert groups(digit_pictures[::60]) >= 27  # of 30: the hashes of such plain pictures change easily


def test_different_digits_are_no_copies(digit_pictures):
    prints = [fingerprint(picture) for picture in digit_pictures]
    assert len({print_.bits for print_ in prints}) < len(prints) - 100  # by their hashes alone many are
    assert near_duplicate_groups(prints) == []


def test_a_group_has_the_copies_of_its_first_image_and_no_chain():
    dark = scene(3)
    chain = [np.clip(dark.astype(int) + step, 0, 255).astype(np.uint8) for step in (0, 7, 14, 21)]
    assert near_duplicate_groups([fingerprint(picture) for picture in chain]) == [[0, 1], [2, 3]]


def test_the_quick_starts_digits_pass(run, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "make_digits.py", tmp_path / "dataset" / "digits"], capture_output=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(run("check-data", "-c", "quick_start/digits_ConvMixer", "--out", "report").stdout)
    assert report["ok"]
    assert "near_copies" not in report["counts"]


@pytest.fixture(scope="module")
def digit_pictures():
    """Return scikit-learn's 1,797 digits, enlarged as for the quick start."""
    from sklearn.datasets import load_digits

    images = (load_digits().images * 255 / 16).astype(np.uint8)
    return [cv2.cvtColor(cv2.resize(image, (32, 32), interpolation=2), cv2.COLOR_GRAY2RGB) for image in images]
