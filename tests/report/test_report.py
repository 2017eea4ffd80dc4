"""The report of real runs: what the page has, when it is written, and what it does without."""

import json
import shutil
import sys

import cv2
import numpy as np
import pytest
import yaml

from ppcls.report import callback
from tests.helpers.multilabel import write_multilabel_recipe
from tests.helpers.recipes import write_recipe, write_staged
from tests.report.pages import Page

ON = "Global.report=true"
SECTIONS = ["result", "curves", "classes", "confusion", "mistakes", "batch", "calibration"]
SECTIONS += ["data", "embeddings", "recipe"]


def test_everything_is_there(reported):
    page = Page(reported / "report.html").check()
    assert list(page.sections) == [*SECTIONS[:7], "averaged", *SECTIONS[7:]]
    records = [json.loads(line) for line in (reported / "metrics.jsonl").read_text().splitlines()]
    evaluations = [record for record in records if record["kind"] == "eval_ema"]
    best = max(evaluations, key=lambda record: (record["top1"], -record["loss"]))
    correct = round(best["top1"] * 40)
    result = page.sections["result"]
    assert f"top-1 accuracy: {correct} of 40 images" in result
    assert "4 of 4 epochs: training is done. Answers are of the averaged weights (EMA)." in result
    assert "Weakest classes" in result
    assert "Global.epochs" not in page.sections["result"]
    assert "-o Global.epochs=4" in page.sections["recipe"]  # the origin of the value
    assert "processor" in page.sections["recipe"]
    assert "raw" in page.sections["averaged"]
    assert "120" in page.sections["data"]


def test_the_pictures_of_the_page(reported):
    page = Page(reported / "report.html")
    pictures = page.pictures
    assert len(set(pictures)) == len(pictures)  # each is there once
    assert set(pictures) <= page.classes
    assert {f"b{number}" for number in range(16)} <= set(pictures)
    wrong = 40 - int(page.sections["result"].split("top-1 accuracy: ")[1].split()[0])
    assert wrong
    heat = [name for name in pictures if name.startswith("h")]
    assert len(heat) >= 16
    cells = [target for target in page.ids if target and target.startswith("cell-")]
    assert 1 <= len(cells) <= wrong
    assert "heat maps" not in " ".join(page.sections.values()).lower() or "Grad-CAM" in page.sections["mistakes"]


def test_the_same_pictures_as_files(reported):
    found = {path.stem for path in (reported / "pictures").iterdir()}
    expected = {"loss", "metric", "learning_rate", "speed", "memory", "confusion_matrix", "reliability", "confidence"}
    assert found == {*expected, "classes", "embeddings_pca", "embeddings_tsne", "mistakes", "training_batch"}
    for path in (reported / "pictures").iterdir():
        assert cv2.imread(str(path)).std() > 1, path


def test_the_answers_are_those_of_the_best_weights(reported):
    from ppcls.engine.predictions import Predictions
    from ppcls.report.records import load_predictions

    epoch, predictions = load_predictions(reported)
    states = json.loads((reported / "best_model.pdstates").read_text())
    assert epoch == states["best"]["epoch"]
    averaged = predictions["eval_ema"]
    assert isinstance(averaged, Predictions)
    assert averaged.indices.tolist() == list(range(40))
    assert (averaged.predicted == averaged.labels).mean() == pytest.approx(states["best"]["value"])
    np.testing.assert_array_equal(averaged.classes[:, 0], averaged.predicted)
    own = averaged.classes == averaged.labels[:, None]
    np.testing.assert_allclose(averaged.scores[own], averaged.label_scores[own.any(axis=1)])


def test_it_is_written_again_from_the_folder(reported, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reported, folder)
    (folder / "report.html").unlink()
    shutil.rmtree(folder / "pictures")
    done = run("report", folder)
    assert json.loads(done.stdout) == {"report": str(folder / "report.html")}
    assert done.stderr.splitlines()[-4:] == [
        "reported: run",
        "  page:     run/report.html",
        "  pictures: run/pictures",
        "next: ppcls infer run IMAGES --out answers.csv",
    ]
    page, before = Page(folder / "report.html").check(), Page(reported / "report.html")
    assert list(page.sections) == list(before.sections)
    for name in ("result", "classes", "confusion", "calibration", "averaged"):
        assert page.sections[name] == before.sections[name]
    assert page.pictures == before.pictures


def test_without_scikit_learn_there_is_one_map(reported, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    run("report", reported, "--out", tmp_path / "page.html")
    text = Page(tmp_path / "page.html").check().sections["embeddings"]
    assert "With scikit-learn there is a map by t-SNE, too" in text
    assert "Principal components" in text
    assert not (tmp_path / "pictures" / "embeddings_tsne.png").exists()
    assert (tmp_path / "pictures" / "embeddings_pca.png").exists()


def test_without_kept_answers_the_best_weights_are_evaluated(reported, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reported, folder)
    (folder / "predictions.npz").unlink()
    done = run("report", folder, "--out", tmp_path / "page.html")
    assert "they are evaluated" in done.stderr
    expected = Page(reported / "report.html").sections["confusion"]
    assert Page(tmp_path / "page.html").check().sections["confusion"] == expected


@pytest.mark.parametrize("damage", ["predictions.npz", "metrics.jsonl", "speed.jsonl", "config.yaml"])
def test_a_damaged_file_is_said(reported, run, tmp_path, damage):
    folder = tmp_path / "run"
    shutil.copytree(reported, folder)
    content = (folder / damage).read_bytes()
    (folder / damage).write_bytes(b"\x00{" + content[2 : len(content) // 2])
    run("report", folder)
    page = Page(folder / "report.html").check()
    if damage != "config.yaml":
        assert f"{damage}" in page.sections["result"]
    assert page.sections["confusion"]


def test_data_that_are_gone_are_said(digits, run, tmp_path):
    copy = tmp_path / "digits"
    shutil.copytree(digits, copy)
    recipe = write_recipe(copy, tmp_path)
    run("train", "-c", recipe, "-o", ON)
    shutil.rmtree(copy)
    before = (tmp_path / "out" / "report.html").read_bytes()
    assert "stays, because a new page would have no photos" in run("report", tmp_path / "out", code=2).stderr
    assert (tmp_path / "out" / "report.html").read_bytes() == before
    run("report", tmp_path / "out", "--out", tmp_path / "without.html")
    page = Page(tmp_path / "without.html").check()
    assert "the data are not there" in page.sections["result"]
    assert "data" not in page.sections
    assert "digit-3" in page.sections["classes"] or "3" in page.sections["classes"]
    assert not page.pictures


def test_a_run_that_was_moved_with_its_lists_has_its_photos(digits, recipe, run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    lists = []
    for side, name in (("Train", "train_list.txt"), ("Eval", "val_list.txt")):
        shutil.copy(digits / name, out / name)
        lists.append(f"DataLoader.{side}.dataset.cls_label_path={out / name}")
    run("train", "-c", recipe, "-o", ON, *lists)
    out.rename(tmp_path / "moved")
    run("report", "moved")
    page = Page(tmp_path / "moved" / "report.html").check()
    assert "data are not there" not in page.sections["result"]
    assert list(page.sections) == SECTIONS
    assert any(name.startswith("h") for name in page.pictures)


def test_several_labels(digits, run, tmp_path):
    recipe = write_multilabel_recipe(digits, tmp_path)
    run("train", "-c", recipe, "-o", ON, "Global.epochs=3")
    page = Page(tmp_path / "out" / "report.html").check()
    assert [name for name in SECTIONS if name != "confusion"] == list(page.sections)
    assert "images without a mistake" in page.sections["result"]
    assert "Weakest labels" in page.sections["result"]
    for name in ("even", "large", "prime"):
        assert name in page.sections["classes"]
    assert "average precision" in page.sections["classes"]
    assert any(name.startswith("h") for name in page.pictures)


def test_stages_are_one_report(digits, run, tmp_path):
    recipe = write_staged(digits, tmp_path)
    run("train", "-c", recipe, "-o", ON)
    page = Page(tmp_path / "out" / "report.html").check()
    assert "3 of 3 epochs, stage second: training is done" in page.sections["result"]
    assert "stage second" in page.sections["curves"]
    assert not (tmp_path / "out" / "second" / "report.html").exists()
    (tmp_path / "out" / "report.html").unlink()
    run("report", tmp_path / "out")
    again = Page(tmp_path / "out" / "report.html").check()
    assert again.sections["curves"] == page.sections["curves"]
    assert again.sections["classes"] == page.sections["classes"]


def test_a_finished_run_that_is_started_again_keeps_its_page(recipe, run):
    run("train", "-c", recipe, "-o", ON)
    path = recipe.parent / "out" / "report.html"
    page, content = Page(path), path.read_bytes()
    run("train", "-c", recipe, "-o", ON, "Global.checkpoints=auto")
    assert path.read_bytes() == content
    (recipe.parent / "out" / "finished.json").unlink()  # as of a run that was killed before its report
    path.unlink()
    run("train", "-c", recipe, "-o", ON, "Global.checkpoints=auto")
    again = Page(path).check()
    assert list(again.sections) == list(page.sections)
    assert again.sections["batch"] == page.sections["batch"]
    assert again.pictures == page.pictures


def test_a_resumed_run_goes_on_with_its_records(recipe, run):
    out = recipe.parent / "out"
    run("train", "-c", recipe, "-o", ON)
    run("train", "-c", recipe, "-o", ON, "Global.epochs=4", "Global.checkpoints=auto")
    lines = [json.loads(line) for line in (out / "speed.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3, 4]
    assert all(line["images_per_second"] > 1 and line["memory_bytes"] > 1e7 for line in epochs)
    assert "4 of 4 epochs" in Page(out / "report.html").check().sections["result"]


def test_without_evaluation_there_are_the_curves(recipe, run):
    run("train", "-c", recipe, "-o", ON, "Global.eval_during_train=false")
    page = Page(recipe.parent / "out" / "report.html").check()
    assert list(page.sections) == ["result", "curves", "batch", "data", "recipe"]
    assert "nothing was evaluated yet" in page.sections["result"]


def test_it_can_be_switched_off(recipe, run):
    run("train", "-c", recipe)
    names = {path.name for path in (recipe.parent / "out").iterdir()}
    assert not names & {"report.html", "pictures", "predictions.npz", "speed.jsonl"}


def test_python_writes_it_too(recipe):
    import ppcls

    images = [np.full((20, 20, 3), 40 * (index % 4), np.uint8) for index in range(24)]

    class Shades:
        class_names = ("black", "dark", "light", "white")

        def __init__(self):
            self.labels = [index % 4 for index in range(24)]

        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            return images[index], index % 4

    values = yaml.safe_load(recipe.read_text())
    values["Global"]["report"] = True
    values["Arch"]["class_num"] = 4
    del values["DataLoader"]
    result = ppcls.train(values, train_dataset=Shades(), eval_dataset=Shades())
    page = Page(result.run_dir / "report.html").check()
    assert "white" in page.sections["classes"]
    assert any(name.startswith("h") for name in page.pictures)


def test_a_page_while_training(recipe, run, monkeypatch):
    """The first evaluation writes it; the pause that follows bounds its share."""
    written = []
    original = callback.build.write

    def write(data, page, complete, **options):
        original(data, page, complete, **options)
        written.append((data.epochs, complete, Page(page).check()))

    monkeypatch.setattr(callback.build, "write", write)
    run("train", "-c", recipe, "-o", ON, "Global.epochs=3")
    assert [(epochs, complete) for epochs, complete, _ in written] == [(1, False), (3, True)]
    first = written[0][2]
    assert "1 of 3 epochs: not finished" in first.sections["result"]
    assert "Heat maps follow when training is done." in first.sections["mistakes"]
    assert "refreshed while training goes on" in first.source
    monkeypatch.setattr(callback, "_SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(callback, "_SHARE", 1e9)
    written.clear()
    run("train", "-c", recipe, "-o", ON, "Global.epochs=3")
    assert [(epochs, complete) for epochs, complete, _ in written] == [(1, False), (2, False), (3, False), (3, True)]


def test_a_report_that_fails_does_not_end_training(recipe, run, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no ink")

    monkeypatch.setattr(callback.build, "render", fail)
    done = run("train", "-c", recipe, "-o", ON)
    assert json.loads(done.stdout)["epoch"] >= 1
    assert done.stderr.count("report.html: RuntimeError: no ink; training goes on") == 1
    assert not (recipe.parent / "out" / "report.html").exists()


def test_several_runs_beside_each_other(reported, trained, run, tmp_path):
    done = run("report", reported, trained / "out", "--out", tmp_path / "both.html")
    assert json.loads(done.stdout) == {"report": str(tmp_path / "both.html")}
    assert done.stderr.splitlines()[-1].startswith("next: ppcls compare ")
    page = Page(tmp_path / "both.html").check()
    assert {"results", "curves", "recipes"} <= set(page.sections)
    assert "Global.epochs" in page.sections["recipes"]
    assert "EMA" in page.sections["recipes"]
    assert "Arch.dim" not in page.sections["recipes"]
    assert "Global.output_dir" not in page.sections["recipes"]
    assert f"{reported.parent.name}/out" in page.sections["results"]


def test_the_check_of_the_data_and_the_range_test_are_in_it(reported, run, tmp_path, digits):
    folder = tmp_path / "run"
    shutil.copytree(reported, folder)
    problems = {"copies": ["Train 1.png = Train 2.png"], "too_small": []}
    check = {"images": {"Train": 120, "Eval": 40}, "problems": problems}
    (tmp_path / f"{digits.name}_check.json").write_text(json.dumps(check))
    rates = [1e-5 * 1.1**step for step in range(90)]
    losses = [2.3 - 0.01 * step for step in range(90)]
    found = {"suggestion": rates[-1] / 4, "chosen": 0.01, "rates": rates, "losses": losses, "smoothed": losses}
    (folder / "lr_range.json").write_text(json.dumps(found))
    run("report", folder)
    page = Page(folder / "report.html").check()
    assert "copies: 1, such as Train 1.png = Train 2.png" in page.sections["data"]
    assert "90 updates" in page.sections["lr-range"]
    assert "lowest at 0.048; a quarter of that is suggested, 0.012. The recipe has 0.01" in page.sections["lr-range"]
    assert (folder / "pictures" / "lr_range.png").exists()
    check["images"]["Train"] = 119  # of other data
    (tmp_path / f"{digits.name}_check.json").write_text(json.dumps(check))
    (folder / "lr_range.json").write_text("{")
    run("report", folder)
    page = Page(folder / "report.html").check()
    assert "copies" not in page.sections["data"].replace("finds copies", "")
    assert "lr_range.json is damaged" in page.sections["lr-range"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["."], "no checkpoint here (best_model or latest): not the folder of a run"),
        ([".", ".", "--stage", "head"], "--stage is for the report of one run"),
    ],
)
def test_errors(run, tmp_path, arguments, message):
    done = run("report", *arguments, code=2)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
