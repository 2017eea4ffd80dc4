"""``deploy/python/predict_cls.py`` on models whose images have several labels, and with other post-processings."""

import re

import pytest
import yaml

from tests.helpers.command_line import run_ppcls
from tests.helpers.multilabel import NAMES, write_multilabel_recipe


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
        ({"Topk": {"topk": 2}}, "PostProcess.Topk: an image has any number of classes in"),
        ({"MultiLabelThreshOutput": {"threshold": 2}}, "MultiLabelThreshOutput: threshold: must be"),
        ({"MultiLabelThreshOutput": {"treshold": 0.5}}, "unknown argument 'treshold'; did you mean 'threshold'?"),
        ({"PersonAttribute": {}}, "PersonAttribute is for 26 classes, and the model has 3"),
        ({"Binarize": {}}, "unknown post-processing 'Binarize'"),
        ({"MultiLabelThreshOutput": 3}, "PostProcess: the arguments of MultiLabelThreshOutput must be a mapping"),
        ({"SavePreLabel": {"save_dir": "sorted"}}, "PostProcess.SavePreLabel: an image of this model may have several"),
    ],
)
def test_mistakes_end_with_code_2(predict, postprocess, message):
    done = predict(postprocess, code=2)
    assert message in done.err
    assert not done.out


def test_a_model_of_exclusive_classes_takes_no_other(models, predict):
    done = predict({"MultiLabelThreshOutput": None}, model=models / "inference", code=2)
    assert "PostProcess.MultiLabelThreshOutput: an image has one class in" in done.err


def test_attributes_are_printed_as_there():
    from ppcls.commands.predict_cls import _format

    answer = {"file_name": "a/b.png", "class_ids": [2, 0], "scores": [0.9, 0.8], "attributes": ["Male"]}
    assert _format(answer, 4) == "b.png:\t {'attributes': ['Male'], 'output': [1, 0, 1, 0]}"
