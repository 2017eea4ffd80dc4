"""``deploy/python/predict_cls.py`` on models whose images have several labels, and with other post-processings."""

import re

import numpy as np
import pytest
import yaml

from tests.helpers.command_line import run_ppcls
from tests.helpers.multilabel import NAMES, write_multilabel_recipe
from tests.helpers.recipes import ROOT


@pytest.fixture(scope="module")
def exported(digits, tmp_path_factory):
    """Return the folder of an export of a model with several labels."""
    folder = tmp_path_factory.mktemp("labels")
    recipe = write_multilabel_recipe(digits, folder)
    run_ppcls("train", "-c", recipe, "-o", "Global.epochs=6", cwd=folder)
    run_ppcls("export", "-c", recipe, "-o", "Global.pretrained_model=out/best_model", cwd=folder)
    return folder / "inference"


@pytest.fixture
def predict(exported, digits, tmp_path, capfd):
    """Return a function that runs the script's command by a recipe with this PostProcess."""
    from ppcls.cli import script
    from ppcls.commands.predict_cls import COMMAND

    def call(postprocess, model=exported, code=0):
        values = {
            "Global": {"infer_imgs": f"{digits}/val", "inference_model_dir": str(model)},
            **({"PostProcess": postprocess} if postprocess else {}),
        }
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
        assert script(COMMAND, ["-c", str(tmp_path / "recipe.yaml")]) == code
        return capfd.readouterr()

    return call


def test_all_labels_above_their_threshold_are_printed(exported, digits, predict):
    import ppcls

    answers = ppcls.Predictor(exported).predict(digits / "val")
    lines = predict(None).out.splitlines()
    found = [
        re.search(r"class id\(s\): (\[.*?\]), score\(s\): \[.*\], label_name\(s\): (\[.*\])", line) for line in lines
    ]
    assert [match[1] for match in found] == [str(answer["class_ids"]) for answer in answers]
    assert [match[2] for match in found] == [str(answer["label_names"]) for answer in answers]
    assert len({match[1] for match in found}) > 1

    everything = predict({"main_indicator": "MultiLabelThreshOutput", "MultiLabelThreshOutput": {"threshold": 0.0}}).out
    assert all(set(NAMES) <= set(re.findall(r"'(\w+)'", line)) for line in everything.splitlines())


@pytest.mark.parametrize(
    ("postprocess", "message"),
    [
        ({"Topk": {"topk": 2}}, "recipe.yaml:5: PostProcess.Topk: an image has any number of classes in"),
        (
            {"MultiLabelThreshOutput": {"threshold": 2}},
            "MultiLabelThreshOutput.threshold: must be",
        ),
        ({"MultiLabelThreshOutput": {"treshold": 0.5}}, "unknown argument 'treshold'; did you mean 'threshold'?"),
        ({"PersonAttribute": {}}, "PostProcess.PersonAttribute: is for 26 classes, and the model has 3"),
        ({"Binarize": {}}, "post-processing 'Binarize' is not available: it belongs"),
        ({"Topkk": {}}, "recipe.yaml:5: PostProcess.Topkk: unknown post-processing 'Topkk'; did you mean 'Topk'?"),
        ({"MultiLabelThreshOutput": 3}, "PostProcess: the arguments of MultiLabelThreshOutput must be a mapping"),
    ],
)
def test_mistakes_end_with_code_2(predict, postprocess, message):
    done = predict(postprocess, code=2)
    assert message in done.err
    assert not done.out


def test_a_model_of_exclusive_classes_takes_no_other(models, predict):
    done = predict({"MultiLabelThreshOutput": {}}, model=models / "inference", code=2)
    assert "PostProcess.MultiLabelThreshOutput: an image has one class in" in done.err


def test_the_shipped_recipe_takes_a_multi_label_model(exported, digits, predict, capfd):
    from ppcls.cli import script
    from ppcls.commands.predict_cls import COMMAND

    expected = predict(None).out
    changes = [f"Global.infer_imgs={digits}/val", f"Global.inference_model_dir={exported}"]
    shipped = str(ROOT / "deploy" / "configs" / "inference_cls.yaml")
    for post in ((), ("PostProcess.main_indicator=Topk", "PostProcess.Topk.topk=5", "PostProcess.Topk=null")):
        assert script(COMMAND, ["-c", shipped, "-o", *changes, *post]) == 0
        assert capfd.readouterr().out == expected
    assert script(COMMAND, ["-c", shipped, "-o", *changes, "PostProcess.Topk.topk=5"]) == 2
    assert "remove Topk (-o PostProcess=null)" in capfd.readouterr().err


def test_images_are_copied_to_each_of_their_classes(predict, tmp_path):
    done = predict({"SavePreLabel": {"save_dir": str(tmp_path / "sorted")}})
    rows = re.findall(r"(\S+):\tclass id\(s\): \[([\d, ]*)\]", done.out)
    expected = sorted(f"{number}/{name}" for name, ids in rows for number in ids.split(", ") if number)
    assert any(", " in ids for _, ids in rows)
    assert sorted(str(path.relative_to(tmp_path / "sorted")) for path in (tmp_path / "sorted").glob("*/*")) == expected


def test_other_thresholds_than_those_of_the_export_are_said(predict):
    said = "recipe.yaml:5: PostProcess.MultiLabelThreshOutput: other thresholds than those"
    assert said in predict({"MultiLabelThreshOutput": {"threshold": 0.25}}).err
    assert "thresholds" not in predict({"MultiLabelThreshOutput": {"threshold": 0.5}}).err


PERSON = {0: 0.9, 1: 0.35, 3: 0.6, 5: 0.7, 11: 0.8, 16: 0.55, 19: 0.1, 20: 0.7, 22: 0.4, 24: 0.6}
VEHICLE = {6: 0.75, 12: 0.25}
TABLE = {0: 0.75, 2: 0.5, 5: 0.875}


@pytest.mark.parametrize(
    ("name", "scores", "line"),
    [
        (
            "PersonAttribute",
            [PERSON.get(index, 0.0) for index in range(26)],
            "b.png:\t {'attributes': ['Male', 'Age18-60', 'Side', 'Glasses: True', 'Hat: True', "
            "'HoldObjectsInFront: False', 'ShoulderBag', 'Upper: LongSleeve UpperLogo', 'Lower:  Trousers', "
            "'No boots'], 'output': [1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0]}",
        ),
        (
            "VehicleAttribute",
            [VEHICLE.get(index, 0.0) for index in range(19)],
            "b.png:\t {'attributes': 'Color: (white, prob: 0.75000), Type unknown', "
            "'output': [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}",
        ),
        (
            "TableAttribute",
            [TABLE.get(index, 0.0) for index in range(6)],
            "b.png:\t {'attributes': ['Scanned', 'Numerous', 'Multicolor', 'Blurry', 'With-Obstacles', 'Horizontal'], "
            "'output': [1, 0, 0, 0, 0, 1]}",
        ),
    ],
)
def test_attributes_are_printed_as_there(name, scores, line):
    from ppcls.commands.predict_cls import _format
    from ppcls.inference.postprocess import POSTPROCESSES

    answer = POSTPROCESSES.build(name, {}, class_num=len(scores), class_names=None)(np.array(scores, np.float32))
    assert _format({"file_name": "a/b.png", **answer}, len(scores)) == line
