"""Weights get images that are prepared as in their training, or a message."""

import json
import re
import shutil

import pytest
import yaml

import ppcls
from ppcls.data.datasets import Classes
from ppcls.engine.initial_weights import comparable_labels
from ppcls.errors import ConfigError
from tests.helpers.colours import COLOURS, folder, listed, write_colour_recipe, write_folders, write_list
from tests.helpers.command_line import run_ppcls

EVAL, TRAIN = "DataLoader.Eval.dataset.transform_ops", "DataLoader.Train.dataset.transform_ops"
BGR, MEAN, PIL = (
    "0={DecodeImage: {to_rgb: false}}",
    "1.NormalizeImage.mean=[0.1,0.5,0.5]",
    "0={DecodeImage: {backend: pil}}",
)
SAID = {
    BGR: "channel order: BGR (the recipe) and RGB (its run)",
    MEAN: "mean [0.1, 0.5, 0.5], std [0.5, 0.5, 0.5] (the recipe) and scale 0.0039216, mean [0.5, 0.5, 0.5]",
    PIL: "backend of DecodeImage: pil (the recipe) and cv2 (its run)",
}
ALLOW = "Global.allow_other_preprocessing=true"
WEIGHTS = "Global.pretrained_model=out/best_model"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Return a folder with ``data``, ``recipe.yaml`` and a run in ``out`` that is right on all of its images."""
    place = tmp_path_factory.mktemp("base")
    write_folders(place / "data", {name: name for name in COLOURS}, 6)
    write_colour_recipe(place / "recipe.yaml", folder(place / "data"), folder(place / "data"), epochs=8)
    run_ppcls("train", "-c", "recipe.yaml", "-o", "Optimizer.lr.learning_rate=0.05", cwd=place)
    return place


def top1(done):
    return json.loads(done.stdout)["top1"]


@pytest.mark.parametrize("change", [BGR, MEAN, PIL])
def test_other_images_are_refused_by_all_that_use_weights(base, run, tmp_path, change):
    """With BGR, accuracy would fall from 1 without a word."""
    recipe = ["-c", "recipe.yaml", "-o", WEIGHTS, f"Infer.infer_imgs={base}/data/cat/0.png"]
    recipe += [f"Global.save_inference_dir={tmp_path}/export", f"Infer.save_dir={tmp_path}"]
    assert top1(run("eval", *recipe, cwd=base)) == 1
    other = f"{EVAL}.{change}"
    for command in ("eval", "infer", "export"):
        done = run(command, *recipe, other, cwd=base, code=2)
        assert "out/best_model: images are prepared in another way than in its training: " in done.stderr
        assert SAID[change] in done.stderr and f"-o {ALLOW}" in done.stderr
        assert not done.stdout
    assert not (tmp_path / "export").exists()
    with pytest.raises(ConfigError, match=re.escape(SAID[change])):
        ppcls.load_predictor(base / "out", changes=[other])
    done = run("eval", *recipe, other, ALLOW, cwd=base)
    assert (top1(done) < 1) == (change != PIL)
    assert SAID[change] in done.stderr and "(allowed by Global.allow_other_preprocessing)" in done.stderr


def test_inference_of_a_run_says_how_its_images_differ(base, run):
    image = base / "data/cat/0.png"
    done = run("infer", base / "out", image)
    assert json.loads(done.stdout)[0]["label_names"][0] == "cat"
    assert "another way" not in done.stderr and "different ways" not in done.stderr
    ops = ppcls.load_config(base / "recipe.yaml").DataLoader.Eval.dataset.transform_ops
    ops = [{"DecodeImage": {"to_rgb": False}}, *ops[1:]]
    done = run("infer", base / "out", image, "-o", f"Infer.transforms={json.dumps(ops)}", code=2)
    assert "DataLoader.Eval and Infer prepare images in different ways: channel order: RGB" in done.stderr
    assert SAID[BGR] in done.stderr


def test_sizes_and_crops_are_a_warning(base, run):
    resize = [{"DecodeImage": None}, {"ResizeImage": {"resize_short": 20}}, {"CropImage": {"size": 16}}]
    ops = [*resize, *ppcls.load_config(base / "recipe.yaml").DataLoader.Eval.dataset.transform_ops[1:]]
    done = run("eval", "-c", "recipe.yaml", "-o", WEIGHTS, f"{EVAL}={json.dumps(ops)}", cwd=base)
    assert "the transforms of the recipe are others than those of the run of out/best_model: Resize" in done.stderr
    done = run("eval", "-c", "recipe.yaml", "-o", WEIGHTS, cwd=base)
    assert "are others" not in done.stderr


def test_weights_without_a_record_are_said_to_have_none(base, run, tmp_path):
    shutil.copy(base / "out/best_model.pdparams", tmp_path / "copied.pdparams")
    done = run("eval", "-c", "recipe.yaml", "-o", f"Global.pretrained_model={tmp_path}/copied", cwd=base)
    assert top1(done) == 1
    assert "how images were prepared in its training is not known: there is no copied.pdstates beside it" in done.stderr


def teacher(base, **changes):
    arch = {**yaml.safe_load((base / "recipe.yaml").read_text())["Arch"], "class_num": 4}
    return json.dumps({**arch, "pretrained": f"{base}/out/best_model", **changes})


def test_training_from_weights_of_other_images_is_a_warning(base, run, tmp_path):
    """Of weights to start from and of a teacher."""
    common = ["-c", "recipe.yaml", "-o", "Global.epochs=1", f"Global.output_dir={tmp_path}/out"]
    other = [f"{side}.{BGR}" for side in (TRAIN, EVAL)]
    for given, what in (
        (f"Global.pretrained_model={base}/out/best_model", "the weights to start from"),
        (f"Distillation.teacher={teacher(base)}", "the teacher's weights (Distillation.teacher.pretrained)"),
    ):
        text = (
            f"{base}/out/best_model ({what}): images were prepared in another way in its training: channel order: BGR"
        )
        assert run("train", *common, given, *other, cwd=base).stderr.count(text) == 1
        assert "in another way" not in run("train", *common, given, cwd=base).stderr


def test_a_teacher_on_labels_that_are_not_renumbered(base, run, tmp_path):
    """Labels 0 to 3 of the teacher are not the labels 1 to 4 that ``relabel`` numbers from 0."""
    sections = {}
    for first, name in ((0, "zero.txt"), (1, "one.txt")):
        write_list(base / name, base / "data", {name: first + i for i, name in enumerate(COLOURS)})
        sections[name] = listed(base / name, relabel=bool(first))
    write_colour_recipe(tmp_path / "teacher.yaml", *[sections["zero.txt"]] * 2, epochs=1)
    run("train", "-c", "teacher.yaml")
    student = write_colour_recipe(tmp_path / "student.yaml", *[sections["one.txt"]] * 2, epochs=1)
    given = f"Distillation.teacher={teacher(base, pretrained=f'{tmp_path}/out/best_model')}"
    done = run("train", "-c", student, "-o", given, f"Global.output_dir={tmp_path}/student", code=2)
    assert "was trained on other classes: label 0 is 0 for the teacher and 1 in the training data" in done.stderr
    same = write_colour_recipe(tmp_path / "same.yaml", *[sections["zero.txt"]] * 2, epochs=1)
    done = run("train", "-c", same, "-o", given, f"Global.output_dir={tmp_path}/student")
    assert "by number" not in done.stderr
    # Of folders, the names are known, and the teacher has none.
    named = write_colour_recipe(tmp_path / "named.yaml", *[folder(base / "data")] * 2, epochs=1)
    done = run("train", "-c", named, "-o", given, f"Global.output_dir={tmp_path}/student")
    assert done.stderr.count("the classes of the teacher have no names, so they are compared by number") == 1


def test_labels_without_names_are_the_class_ids():
    assert [list(side) for side in comparable_labels(Classes(), Classes(labels=[1, 2]))] == [[1, 2], [0, 1]]
    assert [list(side) for side in comparable_labels(Classes(labels=[1, 2]), Classes())] == [[0, 1], [1, 2]]
    assert comparable_labels(Classes(["a", "b"]), Classes(labels=[1, 2])) == ([1, 2], None)


def test_the_classifier_of_weights_that_are_used_is_their_own(base, run):
    for command in ("eval", "infer", "export"):
        done = run(
            command, "-c", "recipe.yaml", "-o", WEIGHTS, "Arch.class_num=5", "Infer.infer_imgs=data", cwd=base, code=2
        )
        assert (
            "the weights have 4 classes, the model has class_num 5. Without training, the classifier has to be"
            in done.stderr
        )
        assert "leave Arch.class_num out (-o Arch.class_num=null)" in done.stderr
        assert "drop_mismatched_head" not in done.stderr
