"""``ppcls export`` of a trained checkpoint."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.command_line import process_environment, run_ppcls


@pytest.fixture(scope="module")
def exported(trained):
    """Return the folder of an export, and what the command said of it."""
    changes = (
        f"Global.pretrained_model={trained}/out/best_model.pdparams",
        f"Global.save_inference_dir={trained}/model",
    )
    done = run_ppcls("export", "-c", trained / "recipe.yaml", "-o", *changes, cwd=trained)
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
        env=process_environment(),
        check=True,
    )
    from_export = json.loads(done.stdout)  # and nothing else on standard output
    assert [a["class_ids"] for a in from_export] == [a["class_ids"] for a in answers]
    assert [a["label_names"] for a in from_export] == [a["label_names"] for a in answers]
    scores = [[a["scores"] for a in both] for both in (from_export, answers)]
    np.testing.assert_allclose(*scores, atol=2e-5)


def test_the_export_describes_itself(trained, exported):
    import yaml

    from ppcls.utils.digests import sha256

    values = yaml.safe_load((exported[0] / "inference.yml").read_text())
    assert values["Model"]["architecture"]["depth"] == 2
    assert values["Model"]["weights_sha256"] == sha256(trained / "out" / "best_model.pdparams")
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
from ppcls.exporting import target_dir
replace = target_dir.replace
def die(folder, target, weights):
    target.replace(folder.with_name("old"))  # as in the middle of replacing
    os._exit(9)
target_dir.replace = die
from ppcls.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_export_that_was_killed_leaves_the_one_before_and_no_rest(arguments, exported, run, tmp_path):
    target = tmp_path / "model"
    shutil.copytree(exported[0], target)
    command = [sys.executable, "-c", KILLED, "export", *map(str, arguments), f"Global.save_inference_dir={target}"]
    killed = subprocess.run(command, env=process_environment(), cwd=tmp_path, capture_output=True, check=False)
    assert killed.returncode == 9
    assert not target.exists()
    refused = run("export", *arguments, f"Global.save_inference_dir={target}", "Global.image_shape=[3, 32, 32]", code=2)
    assert "Global.image_shape=[3, 32, 32]" in refused.stderr
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


def test_a_head_that_was_never_trained_is_refused(arguments, run, tmp_path):
    changes = ("Arch.class_num=20", "Global.drop_mismatched_head=true", f"Global.save_inference_dir={tmp_path}/model")
    done = run("export", *arguments, *changes, code=2)
    assert "head.weight" in done.stderr
    assert not (tmp_path / "model").exists()


def test_an_export_through_a_link_replaces_what_it_points_to(arguments, exported, run, tmp_path):
    real = tmp_path / "real"
    shutil.copytree(exported[0], real)
    (real / "inference.pdiparams").unlink()
    (tmp_path / "link").symlink_to(real)
    run("export", *arguments, f"Global.save_inference_dir={tmp_path}/link")
    assert (real / "inference.pdiparams").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_the_folder_of_a_run_is_all_that_an_export_needs(trained, run, tmp_path):
    import yaml

    from ppcls.utils.digests import sha256

    moved = tmp_path / "moved"
    shutil.copytree(trained / "out", moved)
    report = json.loads(run("export", moved).stdout)
    assert report["folder"] == str(moved / "inference")
    values = yaml.safe_load((moved / "inference" / "inference.yml").read_text())
    assert values["Model"]["weights_sha256"] == sha256(trained / "out" / "best_model.pdparams")
    assert values["PostProcess"]["Topk"]["label_list"] == [f"digit-{i}" for i in range(10)]
    for suffix in (".pdparams", ".pdstates", ".pdopt"):
        (moved / f"best_model{suffix}").unlink()
    done = run("export", moved, "-o", f"Global.save_inference_dir={tmp_path}/elsewhere", "Infer.PostProcess.topk=3")
    assert f"exported {moved}/latest to {tmp_path}/elsewhere" in done.stderr
    values = yaml.safe_load((tmp_path / "elsewhere" / "inference.yml").read_text())
    assert values["Model"]["weights_sha256"] == sha256(trained / "out" / "latest.pdparams")
    assert values["PostProcess"]["Topk"]["topk"] == 3
    assert (
        "Infer.PostProcess.topc: unknown argument"
        in run("export", moved, "-o", "Infer.PostProcess.topc=3", code=2).stderr
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
