"""``ppcls explain``, and heat maps beside the answers of ``ppcls infer``."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppcls.errors import ConfigError


@pytest.fixture(scope="module")
def images(digits, tmp_path_factory):
    """Return a folder of four digits in two folders, two of the same name, one larger, and a broken one."""
    folder = tmp_path_factory.mktemp("images")
    for number, path in enumerate(sorted((digits / "val").iterdir())[:4]):
        target = folder / f"{number % 2}" / f"{number // 2}.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    (folder / "broken.png").write_bytes(b"<html>")
    return folder


def test_every_image_has_a_picture(trained, images, run, tmp_path):
    done = run("explain", trained / "out", images, "--out", "maps", code=2)
    results = json.loads(done.stdout)
    answers = json.loads(run("infer", trained / "out", images, code=2).stdout)
    assert [item["file_name"] for item in results] == [item["file_name"] for item in answers]
    good = [item for item in results if "error" not in item]
    assert len(good) == 4
    assert len({item["heat_map"] for item in good}) == 4  # not one for two images of the same name
    for item, answer in zip(results, answers):
        if "error" in item:
            assert item == answer
            continue
        assert (item["class_id"], item["label_name"]) == (answer["class_ids"][0], answer["label_names"][0])
        assert item["score"] == pytest.approx(answer["scores"][0], abs=1e-4)
        assert item["method"] == "grad-cam"
        drawn, photo = (cv2.imread(str(tmp_path / name)) for name in (item["heat_map"], item["file_name"]))
        assert drawn.shape == photo.shape
    assert json.loads((tmp_path / "maps" / "heat_maps.json").read_text()) == results
    assert "broken.png: DecodeImage: not an image" in done.stderr


def test_a_class_by_name_and_by_id(trained, images, run, tmp_path):
    for label in ("digit-3", "3"):
        done = run("explain", trained / "out", images / "0" / "0.png", "--class", label, "--out", f"of-{label}")
        (result,) = json.loads(done.stdout)
        assert (result["class_id"], result["label_name"]) == (3, "digit-3")
    first, second = (cv2.imread(str(tmp_path / f"of-{label}" / "0_heat.png")) for label in ("digit-3", "3"))
    np.testing.assert_array_equal(first, second)
    done = run("explain", trained / "out", images / "0", "--class", "digit3", code=2)
    assert "class 'digit3': no such name or id; did you mean 'digit-3'?" in done.stderr
    done = run("explain", trained / "out", images / "0", "--class", "10", code=2)
    assert "class '10': no such name or id" in done.stderr


def test_the_map_is_on_the_photo_itself(trained, images, run, tmp_path):
    """A model that crops its picture: what it does not see of the photo stays as it was."""
    photo = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "wide.png"), photo)
    transforms = (
        "Infer.transforms=[{DecodeImage: {}}, {ResizeImage: {resize_short: 16}}, {CropImage: {size: 16}}, "
        "{NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], order: ''}}, "
        "{ToCHWImage: null}]"
    )
    run("explain", trained / "out", tmp_path / "wide.png", "--class", "1", "-o", transforms)
    drawn = cv2.imread(str(tmp_path / "heat_maps" / "wide_heat.png"))
    assert drawn.shape == photo.shape
    np.testing.assert_array_equal(drawn[:, :19], photo[:, :19])
    np.testing.assert_array_equal(drawn[:, -19:], photo[:, -19:])


def test_an_export_is_explained_by_occlusion(models, images, run):
    for model in (models / "inference", models / "inference" / "inference.onnx"):
        (result,) = json.loads(run("explain", model, images / "0" / "0.png").stdout)
        assert result["method"] == "occlusion"
        assert Path(result["heat_map"]).name == "0_heat.png"
    done = run("explain", models / "inference", images / "0", "--method", "grad-cam", code=2)
    assert "an exported model gives no gradients; give the folder of the run" in done.stderr
    (result,) = json.loads(run("explain", models / "out", images / "0" / "0.png", "--method", "occlusion").stdout)
    assert result["method"] == "occlusion"


def test_the_filters(models, run, tmp_path):
    done = run("explain", models / "out", "--filters", "--out", "maps")
    assert done.stdout == ""
    assert done.stderr.splitlines()[-2] == "  pictures: maps"
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["first_filters.png"]  # gMLP has more
    assert cv2.imread(str(tmp_path / "maps" / "first_filters.png")).std() > 10
    done = run("explain", models / "inference", "--filters", code=2)
    assert "--filters:" in done.stderr
    assert "is an exported model" in done.stderr
    assert "nothing to explain" in run("explain", models / "out", code=2).stderr
    done = run("explain", models / "out", "--filters", "--class", "1", code=2)
    assert "--class: chooses what to explain in images, and there are none" in done.stderr


def test_answers_features_and_heat_maps_in_one_pass(trained, images, run, tmp_path):
    done = run(
        *("infer", trained / "out", images, "--out", "answers.json"),
        *("--features", "x.npy", "--heatmaps", "maps"),
        code=2,
    )
    assert done.stdout == ""
    together = json.loads((tmp_path / "answers.json").read_text())
    alone = json.loads(run("infer", trained / "out", images, code=2).stdout)
    pictures = [answer.pop("heat_map", None) for answer in together]
    assert together == alone
    assert [picture is None for picture in pictures] == ["error" in answer for answer in alone]
    assert all((tmp_path / picture).is_file() for picture in pictures if picture)
    features = np.load(tmp_path / "x.npy")
    run("infer", trained / "out", images, "--features", "y.npy", code=2)
    np.testing.assert_allclose(features, np.load(tmp_path / "y.npy"), atol=1e-5)
    run("infer", trained / "out", images, "--out", "b.json", "--features", "z.npy", code=2)
    np.testing.assert_allclose(features, np.load(tmp_path / "z.npy"), atol=1e-5)
    assert json.loads((tmp_path / "b.json").read_text()) == alone


def test_answers_are_written_where_a_heat_map_cannot_be(trained, images, run, tmp_path):
    """A folder stands where one picture should go."""
    (tmp_path / "maps" / "0_heat.png").mkdir(parents=True)
    (images / "broken.png").rename(tmp_path / "broken.png")
    try:
        done = run("infer", trained / "out", images, "--out", "a.csv", "--heatmaps", "maps", code=2)
        expected = json.loads(run("infer", trained / "out", images).stdout)
        explained = run("explain", trained / "out", images, "--out", "maps", code=2)
    finally:
        (tmp_path / "broken.png").rename(images / "broken.png")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file_name"], row["error"], int(row["class_id"])) for row in rows] == [
        (answer["file_name"], "", answer["class_ids"][0]) for answer in expected
    ]
    assert "0_heat.png: cannot be written: " in done.stderr
    assert "predicted 4 images; 1 heat map could not be written" in done.stderr
    assert len([path for path in (tmp_path / "maps").glob("*.png") if path.is_file()]) == 3
    assert ["error" in item for item in json.loads(explained.stdout)] == [True, False, False, False]
    assert "explained by grad-cam: 3 images, 1 failed" in explained.stderr


def test_what_cannot_be_explained(trained, images, run, tmp_path):
    (tmp_path / "file").write_text("")
    done = run("infer", trained / "out", images, "--heatmaps", "file", code=2)
    assert "--heatmaps=file: cannot be written to" in done.stderr
    done = run("infer", trained / "out", images, "--heatmaps", "maps", "--tta", "flip", code=2)
    assert "a heat map shows one view" in done.stderr
    done = run("infer", trained / "out", images, "--features", "x.npy", "--topk", "2", code=2)
    assert "add --out FILE for both" in done.stderr


def test_a_class_of_a_model_without_names():
    from ppcls.analysis.explaining import find_class

    assert find_class("7", None) == 7
    assert find_class("1", ["1", "0"]) == 0  # a name comes first
    with pytest.raises(ConfigError, match="no class names; give the id"):
        find_class("cat", None)
