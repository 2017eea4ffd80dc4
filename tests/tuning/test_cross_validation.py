"""Cross-validation, with real trainings in processes of their own."""

import json
import statistics

import numpy as np
import pytest
import yaml

from ppcls.engine import load_config
from ppcls.errors import ConfigError
from ppcls.tuning import fold_files
from ppcls.tuning.cross_validation import CrossValidation, Pooled
from ppcls.tuning.cross_validation_page import render_folds
from ppcls.tuning.trials import DONE, Trial
from tests.helpers.class_folders import write_photos
from tests.helpers.images import encode, picture


def listed(path):
    return [line.rsplit(" ", 1) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_cross_validation(recipe, digits, run, tmp_path):
    root = tmp_path / "folds"
    arguments = ("cross-validate", "-c", recipe, "-k", "2", "--output", root, "--devices", "cpu:2")
    arguments += ("-o", "Global.epochs=2")
    done = run(*arguments)
    result = json.loads(done.stdout)
    assert (result["folds"], result["finished"], result["metric"]) == (2, 2, "top1")

    # The folds are disjoint, and divide the training images.
    sides = [[listed(root / "folds" / f"fold_{n}_{side}.txt") for side in ("train", "val")] for n in (1, 2)]
    training = [line.rsplit(" ", 1) for line in (digits / "train_list.txt").read_text().splitlines()]
    assert sorted(sides[0][0]) == sorted(sides[1][1])
    assert sorted(sides[0][0] + sides[0][1]) == sorted(training)
    assert result["images"] == 120

    # The numbers are those of the runs.
    values, matrix = [], np.zeros((10, 10), int)
    for number in (1, 2):
        lines = (root / f"fold_{number}" / "metrics.jsonl").read_text().splitlines()
        records = [record for record in map(json.loads, lines) if record["kind"] == "eval"]
        best = max(records, key=lambda record: (record["top1"], -record["loss"]))
        values.append(best["top1"])
        matrix += best["details"]["ConfusionMatrix"]["matrix"]
    assert result["best_epochs"]["top1"]["mean"] == pytest.approx(statistics.fmean(values))
    assert result["best_epochs"]["top1"]["deviation"] == pytest.approx(statistics.stdev(values))
    written = json.loads((root / "cross_validation.json").read_text())
    assert written["confusion_matrix"]["matrix"] == matrix.tolist()
    assert matrix.sum() == 120
    assert result["pooled"]["accuracy"] == pytest.approx(np.trace(matrix) / 120)
    assert "2 folds: top1" in done.stderr
    assert "All folds together" in (root / "cross_validation.html").read_text()

    weights = root / "fold_1" / "latest.pdparams"
    before = weights.stat().st_mtime_ns
    assert json.loads(run(*arguments).stdout) == result
    assert weights.stat().st_mtime_ns == before
    other = run(*arguments[:3], "-k", "3", "--output", root, code=2)
    assert "folds was 2 and is 3" in other.stderr


def test_recipes_of_folds(recipe, digits, tmp_path):
    """A fold trains and evaluates on its lists with the transforms of each side, and counts the confusions."""
    config = load_config(str(recipe), ["DataLoader.Train.dataset.on_error=skip", "Arch.class_num=null"])
    section = config.DataLoader.Train.dataset.model_dump()
    dataset = fold_files.open_samples(section)
    sizes = fold_files.write_lists(dataset, section, tmp_path / "cv", 3, seed=0)
    assert sum(sizes) == 120
    changes = ["Arch.class_num=null", *fold_files.fold_changes(config, dataset, section, tmp_path / "cv", 1).items()]
    fold = fold_files.write_recipe(str(recipe), changes, tmp_path / "cv", 1)
    assert fold.Global.output_dir == str(tmp_path / "cv" / "fold_2")
    assert fold.Arch.class_num == 10
    train, evaluation = fold.DataLoader.Train.dataset, fold.DataLoader.Eval.dataset
    assert train.transform_ops == config.DataLoader.Train.dataset.transform_ops
    assert evaluation.transform_ops == config.DataLoader.Eval.dataset.transform_ops
    assert (train.arguments["on_error"], evaluation.arguments.get("on_error", "error")) == ("skip", "error")
    assert fold.Metric.Eval == [*config.Metric.Eval, {"ConfusionMatrix": None}]
    names = [
        len(fold_files.open_samples(part.dataset.model_dump()))
        for part in (fold.DataLoader.Train, fold.DataLoader.Eval)
    ]
    assert names == [120 - sizes[1], sizes[1]]


def test_a_folder_that_is_divided_as_a_whole(tmp_path):
    """With val_fraction, and names that need care in lists."""
    photos = write_photos(tmp_path / "photos")
    section = {"name": "ImageFolder", "image_root": str(photos), "val_fraction": 0.2, "split_seed": 1}
    dataset = fold_files.open_samples(section)
    assert len(dataset) == 24
    fold_files.write_lists(dataset, section, tmp_path / "cv", 2, seed=0)
    read = fold_files.open_samples(
        {
            "name": "ImageNetDataset",
            "image_root": str(photos),
            "cls_label_path": str(tmp_path / "cv" / "folds" / "fold_1_train.txt"),
        }
    )
    assert read.class_names == ["cat", "dog", "élan"]
    assert all(read.class_names[read.label(index)] in read.describe(index) for index in range(len(read)))


def test_labels_that_have_no_names_stay_what_they_are(tmp_path):
    photos = write_photos(tmp_path / "photos")
    files = sorted(file.relative_to(photos) for file in photos.rglob("*.*"))
    (tmp_path / "list.txt").write_text("".join(f"{file} {10 * (index // 8) + 5}\n" for index, file in enumerate(files)))
    section = {
        "name": "ImageNetDataset",
        "image_root": str(photos),
        "cls_label_path": str(tmp_path / "list.txt"),
        "relabel": True,
    }
    fold_files.write_lists(fold_files.open_samples(section), section, tmp_path / "cv", 2, seed=0)
    labels = {label for _, label in listed(tmp_path / "cv" / "folds" / "fold_1_val.txt")}
    assert labels == {"5", "15", "25"}


def test_several_classes_per_image(tmp_path):
    lines = [f"{index}.png\t{index % 2},1,{int(index < 3)}\n" for index in range(8)]
    for index in range(8):
        (tmp_path / f"{index}.png").write_bytes(encode(picture(24, 24, index), ".png"))
    (tmp_path / "list.txt").write_text("".join(lines))
    section = {"name": "MultiLabelDataset", "image_root": str(tmp_path), "cls_label_path": str(tmp_path / "list.txt")}
    fold_files.write_lists(fold_files.open_samples(section), section, tmp_path / "cv", 2, seed=0)
    folds = [(tmp_path / "cv" / "folds" / f"fold_{n}_val.txt").read_text().splitlines(True) for n in (1, 2)]
    assert sorted(folds[0] + folds[1]) == lines
    assert len(folds[0]) == len(folds[1]) == 4


def test_shards_are_refused(tmp_path, digits):
    from tests.helpers.recipes import on_shards, write_recipe

    recipe = write_recipe(digits, tmp_path)
    on_shards(recipe, tmp_path / "shards")
    section = yaml.safe_load(recipe.read_text())["DataLoader"]["Train"]["dataset"]
    with pytest.raises(ConfigError, match="images in files of their own"):
        fold_files.open_samples(section)


def test_mistakes(recipe, run, tmp_path):
    photos = write_photos(tmp_path / "photos")
    done = run("cross-validate", photos, "-c", recipe, "-k", "30", "--output", tmp_path / "cv", code=2)
    assert "24 images that are no near copies of each other do not suffice for 30 folds" in done.stderr
    assert "at least two folds" in run("cross-validate", "-c", recipe, "-k", "1", code=2).stderr
    done = run("cross-validate", "-c", recipe, "-o", "Global.eval_during_train=false", code=2)
    assert "cross-validation needs evaluations" in done.stderr


def test_the_page_of_many_classes_shows_pairs(tmp_path):
    matrix = np.diag(np.full(50, 9))
    matrix[3, 7] = 4
    result = {
        "metric": "top1", "lower": False, "value": 0.5, "epoch": 1, "metrics": {"top1": 0.5}, "last": {"top1": 0.4},
        "curve": [[1, 0.5]], "run": "x",
    }  # fmt: skip
    trials = [Trial("fold_1", {}, DONE, 3.0, None, result), Trial("fold_2")]
    pooled = Pooled([f"<{number}>" for number in range(50)], matrix)
    page = render_folds(CrossValidation("recipe", tmp_path, trials, [227, 227], pooled))
    assert "<tr><td>&lt;3&gt;<td class='text'>&lt;7&gt;<td>4" in page
    assert "99.1 %" in page
    assert "Confusion matrix" not in page
