"""Evaluation, inference and export of a trained checkpoint, as real processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppcls import Predictor
from tests.helpers.recipes import ROOT, write_recipe


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """Return the folder of a trained recipe."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = write_recipe(digits, folder)
    arguments = [sys.executable, "-m", "ppcls", "train", "-c", str(recipe), "-o", "Global.epochs=10"]
    subprocess.run(arguments, check=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    return folder


@pytest.fixture
def arguments(trained):
    return ("-c", trained / "recipe.yaml", "-o", f"Global.pretrained_model={trained}/out/best_model")


def test_eval_repeats_what_training_measured(trained, arguments, run):
    values = json.loads(run("eval", *arguments).stdout)
    best = json.loads((trained / "out" / "best_model.pdstates").read_text())["best"]
    assert values["top1"] == best["value"] > 0.3
    assert set(values) == {"CELoss", "loss", "top1", "top5"}
    again = json.loads(run("eval", *arguments, "DataLoader.Eval.sampler.batch_size=7").stdout)
    assert again["top1"] == values["top1"]  # an uneven last batch counts every sample once
    assert again["loss"] == pytest.approx(values["loss"], rel=1e-5)


def test_infer_names_every_image_and_its_labels(trained, arguments, digits, run, tmp_path):
    done = run("infer", *arguments, f"Infer.infer_imgs={digits}/val", f"Infer.save_dir={tmp_path}/answers")
    answers = json.loads(done.stdout)
    assert [a["file_name"] for a in answers] == sorted(str(p) for p in (digits / "val").iterdir())
    assert json.loads((tmp_path / "answers" / "predictions.json").read_text()) == answers
    labels = dict(line.split() for line in (digits / "val_list.txt").read_text().splitlines())
    right = sum(a["class_ids"][0] == int(labels["val/" + Path(a["file_name"]).name]) for a in answers)
    measured = json.loads(run("eval", *arguments).stdout)["top1"]
    assert right / len(answers) == pytest.approx(measured)
    first = answers[0]
    assert first["label_names"] == [f"digit-{i}" for i in first["class_ids"]]
    assert first["scores"] == sorted(first["scores"], reverse=True)
    assert len(first["scores"]) == 5


def test_infer_from_a_list_and_a_single_image(arguments, digits, run):
    listed = run("infer", *arguments, f"Infer.infer_list={digits}/val_list.txt", f"Infer.infer_imgs={digits}")
    one = run("infer", *arguments, f"Infer.infer_imgs={digits}/val/000.png", "Infer.PostProcess.topk=1")
    answers, (answer,) = json.loads(listed.stdout), json.loads(one.stdout)
    assert len(answers) == 40
    assert answers[0]["file_name"] == answer["file_name"]
    assert answers[0]["class_ids"][:1] == answer["class_ids"]


def test_a_broken_image_is_reported_and_the_others_answered(arguments, digits, run, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(digits / "val", folder)
    (folder / "004.png").write_bytes((digits / "val" / "004.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("not an image, and not named like one")
    done = run("infer", *arguments, f"Infer.infer_imgs={folder}", f"Infer.save_dir={tmp_path}", code=2)
    answers = json.loads(done.stdout)
    broken = [a for a in answers if "error" in a]
    assert [Path(a["file_name"]).name for a in broken] == ["004.png"]
    assert len(answers) == 40
    assert all(len(a["class_ids"]) == 5 for a in answers if a not in broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Infer.infer_imgs=nowhere", "nowhere: no such image or folder"),
        ("Infer.infer_list=nothing.txt", "nothing.txt: cannot be read"),
        ("Global.seed=0", "nothing to predict"),
    ],
)
def test_infer_without_usable_images(arguments, run, change, message):
    assert message in run("infer", *arguments, change, code=2).stderr


@pytest.mark.parametrize("command", ["eval", "infer", "export"])
def test_random_weights_are_refused(trained, digits, run, command):
    done = run(command, "-c", trained / "recipe.yaml", "-o", f"Infer.infer_imgs={digits}/val", code=2)
    assert "no weights to" in done.stderr
    assert "Global.pretrained_model" in done.stderr


@pytest.fixture(scope="module")
def exported(trained):
    command = [sys.executable, "-m", "ppcls", "export", "-c", str(trained / "recipe.yaml"), "-o"]
    command += [
        f"Global.pretrained_model={trained}/out/best_model.pdparams",
        f"Global.save_inference_dir={trained}/model",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=trained, check=True
    )
    return trained / "model", json.loads(done.stdout)


def test_the_export_answers_as_the_checkpoint(trained, arguments, exported, digits, run, tmp_path):
    folder, report = exported
    assert report["images"] == 8
    assert report["max_difference"] < 1e-5
    answers = json.loads(
        run("infer", *arguments, f"Infer.infer_imgs={digits}/val", f"Infer.save_dir={tmp_path}").stdout
    )
    code = (
        "import json, sys; from ppcls import Predictor; answers = Predictor(sys.argv[1]).predict(sys.argv[2]); "
        "assert not [m for m in sys.modules if m.startswith(('ppcls.engine', 'ppcls.arch', 'ppcls.loss'))]; "
        "print(json.dumps(answers))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(digits / "val")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    from_export = json.loads(done.stdout)  # and nothing else on standard output
    assert [a["class_ids"] for a in from_export] == [a["class_ids"] for a in answers]
    assert [a["label_names"] for a in from_export] == [a["label_names"] for a in answers]
    scores = [[a["scores"] for a in both] for both in (from_export, answers)]
    np.testing.assert_allclose(*scores, atol=2e-5)


def test_the_export_describes_itself(trained, exported):
    import yaml

    from ppcls.utils import atomic

    values = yaml.safe_load((exported[0] / "inference.yml").read_text())
    assert values["Model"]["architecture"]["depth"] == 2
    assert values["Model"]["weights_sha256"] == atomic.sha256(trained / "out" / "best_model.pdparams")
    assert values["PostProcess"]["Topk"]["label_list"][3] == "digit-3"
    assert [next(iter(op)) for op in values["PreProcess"]["transform_ops"]] == [
        "DecodeImage",
        "NormalizeImage",
        "ToCHWImage",
    ]
    assert {"ppcls", "paddle"} == set(values["Versions"])


def test_an_export_replaces_an_export_and_nothing_else(arguments, exported, run, tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    done = run("export", *arguments, f"Global.save_inference_dir={target}", code=2)
    assert "exists and is not an exported model" in done.stderr
    assert (target / "thesis.txt").read_text() == "years of work"
    shutil.rmtree(target)
    shutil.copytree(exported[0], target)
    (target / "inference.pdiparams").unlink()
    run("export", *arguments, f"Global.save_inference_dir={target}")
    assert (target / "inference.pdiparams").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]
    # Of another run, it is said.
    text = (target / "inference.yml").read_text()
    weights = re.search(r"^  weights: (.*)$", text, re.MULTILINE)[1]
    (target / "inference.yml").write_text(text.replace(weights, "output/another/best_model"))
    done = run("export", *arguments, f"Global.save_inference_dir={target}")
    assert "held the export of output/another/best_model, which is replaced" in done.stderr


KILLED = """
import os, sys
from ppcls.exporting import places
replace = places.replace
def die(folder, target, weights):
    target.replace(folder.with_name("old"))  # as in the middle of replacing
    os._exit(9)
places.replace = die
from ppcls.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_export_that_was_killed_leaves_the_one_before_and_no_rest(arguments, exported, run, tmp_path):
    target = tmp_path / "model"
    shutil.copytree(exported[0], target)
    command = [sys.executable, "-c", KILLED, "export", *map(str, arguments), f"Global.save_inference_dir={target}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False).returncode == 9
    assert not target.exists()
    run("export", *arguments, f"Global.save_inference_dir={target}", "Global.image_shape=[3, 32, 32]", code=2)
    assert (target / "inference.yml").read_text() == (exported[0] / "inference.yml").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_options_of_models_that_are_not_asked_for_are_refused(arguments, run):
    done = run("export", *arguments, "--opset", "13", code=2)
    assert "--opset: does nothing without --onnx" in done.stderr


def test_an_export_of_another_size_than_its_images_is_refused(arguments, run, tmp_path):
    changes = ("Global.image_shape=[3, 32, 32]", f"Global.save_inference_dir={tmp_path}/model")
    done = run("export", *arguments, *changes, code=2)
    assert "[3, 16, 16]" in done.stderr
    assert "Global.image_shape=[3, 32, 32]" in done.stderr
    assert not (tmp_path / "model").exists()


def test_an_export_works_where_the_data_are_not(arguments, run, tmp_path):
    changes = (f"Global.save_inference_dir={tmp_path}/model", "Infer.infer_imgs=nowhere")
    done = run("export", *arguments, *changes, "DataLoader.Eval.dataset.image_root=nowhere")
    assert "compared on noise" in done.stderr
    assert (tmp_path / "model" / "inference.yml").is_file()


def test_damaged_weights_are_not_exported(trained, arguments, run, tmp_path):
    import paddle

    weights = paddle.load(str(trained / "out" / "best_model.pdparams"))
    weights["head.bias"] = paddle.full_like(weights["head.bias"], float("nan"))
    paddle.save(weights, str(tmp_path / "damaged.pdparams"))
    changes = (f"Global.pretrained_model={tmp_path}/damaged", f"Global.save_inference_dir={tmp_path}/model")
    done = run("export", *arguments, *changes, code=2)
    assert "not finite" in done.stderr
    assert not (tmp_path / "model").exists()


def test_weights_with_code_in_them_are_refused_and_not_run(trained, run, tmp_path):
    import pickle

    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    (tmp_path / "evil.pdparams").write_bytes(pickle.dumps({"head.weight": Attack()}))
    recipe = trained / "recipe.yaml"
    for command in ("eval", "export", "train"):
        change = f"Global.pretrained_model={tmp_path}/evil"
        done = run(command, "-c", recipe, "-o", change, f"Global.output_dir={tmp_path}/out", code=2)
        assert "evil.pdparams" in done.stderr
    assert not (tmp_path / "owned").exists()


def test_class_names_come_from_the_file_when_there_is_one(arguments, digits, run, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"{i} class number {i}\n" for i in range(10)))
    change = f"Infer.PostProcess.class_id_map_file={names}"
    (answer,) = json.loads(run("infer", *arguments, f"Infer.infer_imgs={digits}/val/000.png", change).stdout)
    assert answer["label_names"][0] == f"class number {answer['class_ids'][0]}"
    names.write_text("0 only\n")
    done = run("infer", *arguments, f"Infer.infer_imgs={digits}/val/000.png", change, code=2)
    assert "names for 10 classes" in done.stderr


def test_a_head_that_was_never_trained_is_refused(arguments, run, tmp_path):
    changes = ("Arch.class_num=20", "Global.drop_mismatched_head=true", f"Global.save_inference_dir={tmp_path}/model")
    done = run("export", *arguments, *changes, code=2)
    assert "head.weight" in done.stderr
    assert not (tmp_path / "model").exists()


def test_weights_with_paddleclas_states_beside_them(trained, digits, run, tmp_path):
    import pickle

    shutil.copy(trained / "out" / "best_model.pdparams", tmp_path)
    (tmp_path / "best_model.pdstates").write_bytes(pickle.dumps({"metric": 0.5, "epoch": 3}))
    changes = (f"Global.pretrained_model={tmp_path}/best_model", f"Infer.infer_imgs={digits}/val/000.png")
    (answer,) = json.loads(run("infer", "-c", trained / "recipe.yaml", "-o", *changes).stdout)
    assert answer["label_names"] == []


def test_an_export_through_a_link_replaces_what_it_points_to(arguments, exported, run, tmp_path):
    real = tmp_path / "real"
    shutil.copytree(exported[0], real)
    (real / "inference.pdiparams").unlink()
    (tmp_path / "link").symlink_to(real)
    run("export", *arguments, f"Global.save_inference_dir={tmp_path}/link")
    assert (real / "inference.pdiparams").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("Model", "files", []),
        ("Model", "files", {}),
        ("PreProcess", "transform_ops", None),
        ("PostProcess", "Topk", {"topk": "x"}),
        ("PostProcess", "Topk", {"topk": 3, "label_list": ["only one"]}),
        ("PostProcess", "Topk", {"topk": 3, "label_list": "0123456789"}),
        ("PostProcess", "Topk", {"topk": 0}),
        ("PostProcess", "Topk", {"topk": -1}),
        ("PostProcess", "Topk", {"topk": 2.5}),
        ("PreProcess", "transform_ops", []),
        ("Global", "image_shape", 3),
    ],
)
def test_a_damaged_description_is_refused(exported, tmp_path, section, key, value):
    import yaml

    from ppcls.errors import DataError

    folder = tmp_path / "model"
    shutil.copytree(exported[0], folder)
    values = yaml.safe_load((folder / "inference.yml").read_text())
    values[section][key] = value
    (folder / "inference.yml").write_text(yaml.safe_dump(values))
    with pytest.raises(DataError, match=r"inference\.yml: damaged"):
        Predictor(folder)


@pytest.mark.parametrize("name", ["inference.pdiparams", "inference.json"])
def test_a_damaged_or_missing_model_file_is_refused(exported, tmp_path, name):
    from ppcls.errors import DataError

    folder = tmp_path / "model"
    shutil.copytree(exported[0], folder)
    if not (folder / name).exists():
        pytest.skip("Paddle 2 calls it otherwise")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-9])
    with pytest.raises(DataError, match="damaged"):
        Predictor(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match="missing"):
        Predictor(folder)
    with pytest.raises(DataError, match="no such folder"):
        Predictor(tmp_path / "nowhere")


def test_the_folder_of_a_run_is_all_that_an_export_needs(trained, run, tmp_path):
    import yaml

    from ppcls.utils import atomic

    moved = tmp_path / "moved"
    shutil.copytree(trained / "out", moved)
    report = json.loads(run("export", moved).stdout)
    assert report["folder"] == str(moved / "inference")
    values = yaml.safe_load((moved / "inference" / "inference.yml").read_text())
    assert values["Model"]["weights_sha256"] == atomic.sha256(trained / "out" / "best_model.pdparams")
    assert values["PostProcess"]["Topk"]["label_list"] == [f"digit-{i}" for i in range(10)]
    for suffix in (".pdparams", ".pdstates", ".pdopt"):
        (moved / f"best_model{suffix}").unlink()
    done = run("export", moved, "-o", f"Global.save_inference_dir={tmp_path}/elsewhere", "Infer.PostProcess.topk=3")
    assert f"exported {moved}/latest to {tmp_path}/elsewhere" in done.stderr
    values = yaml.safe_load((tmp_path / "elsewhere" / "inference.yml").read_text())
    assert values["Model"]["weights_sha256"] == atomic.sha256(trained / "out" / "latest.pdparams")
    assert values["PostProcess"]["Topk"]["topk"] == 3
    assert (
        "Infer.PostProcess.topc: unknown key" in run("export", moved, "-o", "Infer.PostProcess.topc=3", code=2).stderr
    )
    (moved / "latest.pdopt").unlink()  # not needed
    report = json.loads(run("export", moved / "latest.pdparams").stdout)
    assert report["folder"] == str(moved / "inference")
    weights = moved / "latest.pdparams"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "latest.pdparams: missing, damaged" in run("export", moved, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either RUN or -c RECIPE"),
        (("somewhere", "-c", "recipe.yaml"), "give either RUN or -c RECIPE"),
        (("somewhere",), "somewhere: no such run folder, checkpoint"),
        ((".",), "no checkpoint here"),
        ((".", "--stage", "second"), "no stage 'second' here"),
        ((".", "--image-size", "1", "2", "3"), "expected PX or HEIGHT WIDTH"),
    ],
)
def test_folders_that_are_none_of_a_run(run, arguments, message):
    assert message in run("export", *arguments, code=2).stderr
