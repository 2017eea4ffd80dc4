"""Multi-label recipes: what does not fit, PaddleClas's traits, other people's post-processing."""

import json

import numpy as np
import pytest
import yaml

import ppcls
from ppcls.data.build import build_dataset
from ppcls.engine import load_config
from ppcls.inference.postprocess import POSTPROCESSES
from tests.helpers.multilabel import NAMES, change, write_multilabel_recipe
from tests.helpers.recipes import MIXED_IMAGES, ROOT, write_recipe

BEST = "Global.pretrained_model=out/best_model"


@pytest.fixture
def recipe(digits, tmp_path):
    return write_multilabel_recipe(digits, tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            ["Global.use_multilabel=false", "Loss.Train=[{BCELoss: null}]", "Loss.Eval=[{BCELoss: null}]"],
            "DataLoader.Train: the data are multi-label, and Global.use_multilabel is false "
            "(-o Global.use_multilabel=false); set Global.use_multilabel: true, or change the data set",
        ),
        (["Global.use_multilabel=false"], "MultiLabelLoss is for multi-label data, and Global.use_multilabel is"),
        (
            ["Loss.Train=[{CELoss: null}]"],
            "Loss.Train: CELoss is for single-label data, and Global.use_multilabel is true",
        ),
        (
            ["Loss.Eval=[{FocalLoss: null}]"],
            "Loss.Eval: FocalLoss is for single-label data, and Global.use_multilabel is true",
        ),
        (["Infer.PostProcess.name=Topk"], "Topk is for single-label models, and Global.use_multilabel is true"),
        (["Infer.PostProcess.name=ThreshOutput"], "ThreshOutput is for single-label models"),
        (["Infer.PostProcess.name=PersonAttribute"], "PersonAttribute: is for 26 classes, and the model has 3"),
        (
            ["Infer.PostProcess.name=MultiLabelThreshOutput", "Infer.PostProcess.threshold={odd: 0.5}"],
            "-o Infer.PostProcess.threshold={odd: 0.5}: Infer.PostProcess: MultiLabelThreshOutput: threshold: odd: ",
        ),
        (["Infer.PostProcess.threshold=[0.5]"], "threshold: 1 numbers for 3 classes"),
        (["Infer.PostProcess.threshold=2"], "Infer.PostProcess.threshold: must be a number from 0 to 1, not 2"),
        (["Infer.PostProcess.topk=2"], "unknown argument"),
        (["Infer.PostProcess.name=MultiLabelThreshOuput"], "did you mean 'MultiLabelThreshOutput'"),
        (["Arch.class_num=4"], "train_list.txt:1: labels of 3 classes, and Arch.class_num is 4"),
        (["DataLoader.Train.sampler.name=ClassBalancedSampler"], "ClassBalancedSampler draws by the class of an image"),
        (
            ["Metric.Eval=[{TopkAcc: {topk: [1]}}]"],
            "Metric.Eval: TopkAcc",
        ),
        (["Metric.Train=[{TopkAcc: {topk: [1]}}]"], "Metric.Train: TopkAcc"),
    ],
)
def test_what_does_not_fit_is_said_before_training(recipe, run, changes, message):
    stderr = run("train", "-c", recipe, "-o", *changes, code=2).stderr
    assert message in stderr
    assert "epoch 1" not in stderr


@pytest.mark.parametrize(
    "changes, message",
    [
        (["Global.use_multilabel=true"], "CELoss is for single-label data"),
        (
            ["Global.use_multilabel=true", "Loss.Train=[{BCELoss: null}]", "Loss.Eval=[{BCELoss: null}]"],
            "DataLoader.Train: the data are single-label, and Global.use_multilabel is true",
        ),
        (["Loss.Train=[{MultiLabelLoss: null}]"], "MultiLabelLoss is for multi-label data"),
        (["Infer.PostProcess.name=MultiLabelThreshOutput"], "MultiLabelThreshOutput is for multi-label models"),
    ],
)
def test_single_labels_with_what_is_for_several(digits, tmp_path, run, changes, message):
    recipe = write_recipe(digits, tmp_path)
    changes = [*changes, "Metric={}"]
    assert message in run("train", "-c", recipe, "-o", *changes, code=2).stderr


def test_binary_cross_entropy_trains_on_several_classes(recipe, run, tmp_path):
    change(recipe, Loss={side: [{"BCELoss": None}] for side in ("Train", "Eval")})
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    assert (tmp_path / "out" / "best_model.pdparams").is_file()


def test_data_are_checked_and_shown(recipe, run, tmp_path):
    run("check-data", "-c", recipe, "--out", "report", code=None)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    dataset = build_dataset(load_config(recipe).DataLoader.Train.dataset.model_dump(), train=True)
    counts = dataset.labels.sum(0).astype(int).tolist()
    assert report["classes"]["Train"] == dict(zip(NAMES, counts))
    assert "data:image/jpeg;base64," in (tmp_path / "report" / "report.html").read_text()
    for mixing in ([], ["-o", MIXED_IMAGES]):
        run("show-data", "-c", recipe, "-n", "4", "--out", "sheet.png", *mixing)
        assert (tmp_path / "sheet.png").stat().st_size


def test_a_recipe_for_the_presence_of_something(digits, tmp_path, run):
    recipe = write_recipe(digits, tmp_path)
    for split in ("train", "val"):
        lines = [line.split() for line in (digits / f"{split}_list.txt").read_text().splitlines()]
        (tmp_path / f"{split}_list.txt").write_text("".join(f"{path} {int(int(n) > 4)}\n" for path, n in lines))
    (tmp_path / "labels.txt").write_text("0 up to 4\n1 above\n")
    change(
        recipe,
        Arch__class_num=2,
        Infer__PostProcess={"name": "ThreshOutput", "threshold": 0.9, "label_0": "small", "label_1": "large"},
        Metric={"Train": [{"TopkAcc": {"topk": [1, 2]}}], "Eval": [{"TprAtFpr": None}, {"TopkAcc": {"topk": [1, 2]}}]},
        DataLoader__Train__dataset={
            **yaml.safe_load(recipe.read_text())["DataLoader"]["Train"]["dataset"],
            "cls_label_path": f"{tmp_path}/train_list.txt",
        },
        DataLoader__Eval__dataset={
            **yaml.safe_load(recipe.read_text())["DataLoader"]["Eval"]["dataset"],
            "cls_label_path": f"{tmp_path}/val_list.txt",
        },
    )
    run("train", "-c", recipe)
    run("export", "-c", recipe, "-o", BEST)
    section = yaml.safe_load((tmp_path / "inference" / "inference.yml").read_text())["PostProcess"]
    arguments = {"threshold": 0.9, "label_0": "small", "label_1": "large"}
    assert section == {"ThreshOutput": {**arguments, "label_list": ["small", "large"]}}
    images = [str(path) for path in sorted((digits / "val").iterdir())]
    predictor = ppcls.Predictor(str(tmp_path / "inference"))
    scores = predictor.run(np.stack([predictor.prepare(path) for path in images]))
    for answer, score in zip(predictor.predict(images), scores):
        class_id = int(score[1] >= 0.9)
        assert answer["class_ids"] == [class_id]
        assert answer["label_names"] == [["small", "large"][class_id]]
        assert answer["scores"] == [pytest.approx(score[class_id], abs=1e-4)]


def test_a_recipe_for_the_attributes_of_a_person(digits, tmp_path, run):
    names = POSTPROCESSES["PersonAttribute"].target.names
    recipe = write_multilabel_recipe(digits, tmp_path, names=False)
    for split in ("train", "val"):
        path = tmp_path / "lists" / f"{split}_list.txt"
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        path.write_text("".join(f"{image}\t{','.join([*(labels.split(',') * 9)[:26]])}\n" for image, labels in rows))
    loss = {"weight": 1.0, "weight_ratio": True, "size_sum": True}
    change(
        recipe,
        Arch__class_num=26,
        Loss={side: [{"MultiLabelLoss": loss}] for side in ("Train", "Eval")},
        Metric={"Eval": [{"ATTRMetric": None}]},
        Infer__PostProcess={
            "name": "PersonAttribute",
            "threshold": 0.5,
            "glasses_threshold": 0.3,
            "hold_threshold": 0.6,
        },
    )
    run("train", "-c", recipe)
    run("export", "-c", recipe, "-o", BEST)
    answers = json.loads(run("infer", "inference", digits / "val" / "000.png").stdout)
    by_recipe = json.loads(run("infer", "-c", recipe, "-o", BEST, f"Infer.infer_imgs={digits}/val/000.png").stdout)
    for (answer,) in (answers, by_recipe):
        assert set(answer["label_names"]) <= set(names)
        assert answer["attributes"][0] in ("Female", "Male")
        assert len(answer["attributes"]) == 10


def test_names_from_a_file_with_a_delimiter(recipe, run, tmp_path, digits):
    (tmp_path / "lists" / "labels.txt").unlink()
    (tmp_path / "names.txt").write_text("0,is even\n1, is large\n2,is prime\n")
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    post = {"name": "MultiLabelThreshOutput", "threshold": 0.0, "class_id_map_file": f"{tmp_path}/names.txt"}
    change(recipe, Infer__PostProcess={**post, "delimiter": ","}, Infer__infer_imgs=f"{digits}/val/000.png")
    (answer,) = json.loads(run("infer", "-c", recipe, "-o", BEST).stdout)
    assert sorted(answer["label_names"]) == ["is even", "is large", "is prime"]
    stderr = run("infer", "-c", recipe, "-o", BEST, "Infer.PostProcess.delimiter=;", code=None).stderr
    assert "names.txt:1: not a class id and a name with ';' between: '0,is even'" in stderr


def test_the_default_post_processing_follows_the_labels():
    for multilabel, name in ((True, "MultiLabelThreshOutput"), (False, "Topk")):
        values = {"Arch": {"name": "ConvMixer_768_32"}, "Global": {"use_multilabel": multilabel}}
        assert load_config(values).postprocess_name == name


OWN = """
from ppcls.inference.postprocess import POSTPROCESSES, SIGMOID, PostProcess


@POSTPROCESSES.register
class CountClasses(PostProcess):
    activation = SIGMOID

    def __init__(self, least: float = 0.5, class_names=None):
        self.least, self.class_names = least, class_names

    def __call__(self, scores):
        ids = [i for i, score in enumerate(scores) if score >= self.least]
        return {**self._answer(ids, scores), "count": len(ids)}
"""


def test_a_post_processing_of_ones_own(recipe, run, tmp_path, digits):
    (tmp_path / "own.py").write_text(OWN)
    change(recipe, Infer__PostProcess={"name": "CountClasses", "least": 0.0})
    run("train", "-c", recipe, "--import", "own.py", "-o", "Global.epochs=1")
    run("export", "-c", recipe, "--import", "own.py", "-o", BEST)
    image = digits / "val" / "000.png"
    (answer,) = json.loads(run("infer", "inference", image, "--import", "own.py").stdout)
    assert (answer["count"], answer["class_ids"], answer["label_names"]) == (3, [0, 1, 2], NAMES)
    stderr = run("infer", "inference", image, code=2).stderr
    assert "PostProcess: unknown post-processing 'CountClasses'" in stderr
    assert "--import FILE" in stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["PersonAttribute"],
            "-o Infer.PostProcess.name=PersonAttribute: Infer.PostProcess: PersonAttribute: is for 26",
        ),
        (["MultiLabelThreshOutput", "threshold=[0.5]"], "Infer.PostProcess.threshold: 1 numbers for 3 classes"),
    ],
)
def test_the_class_count_of_a_post_processing_is_checked_when_the_recipe_is_loaded(recipe, run, changes, message):
    changes = [f"Infer.PostProcess.name={changes[0]}", *(f"Infer.PostProcess.{change}" for change in changes[1:])]
    assert message in run("config", "-c", recipe, "-o", *changes, code=2).stderr


def test_eval_refuses_thresholds_of_an_unknown_class(recipe, run, tmp_path):
    run("train", "-c", recipe)
    weights = f"Global.pretrained_model={tmp_path}/out/best_model"
    run("export", "-c", recipe, "-o", weights)
    change = "Infer.PostProcess.threshold={od: 0.5}"
    for where in ((weights,), ()):
        model = () if where else ("--model", tmp_path / "inference")
        done = run("eval", "-c", recipe, *model, "-o", *where, change, code=2)
        assert f"-o {change}: Infer.PostProcess: MultiLabelThreshOutput: threshold: od: unknown class" in done.stderr


def test_another_post_processing_than_that_of_a_base(recipe, run):
    (recipe.parent / "base.yaml").write_text("Infer: {PostProcess: {name: Topk, topk: 3}}\n")
    text = "_base_: base.yaml\n" + recipe.read_text()
    recipe.write_text(text)
    cure = "a base of the recipe gives it: `_delete_: true` in Infer.PostProcess drops what bases say there"
    recipe.write_text(text + "Infer: {PostProcess: {name: MultiLabelThreshOutput}}\n")
    said = run("config", "-c", recipe, code=2).stderr
    assert "base.yaml:1: Infer.PostProcess.topk: unknown argument" in said
    assert cure in said
    recipe.write_text(text + "Infer: {PostProcess: {name: MultiLabelThreshOutput, topk: 3}}\n")
    assert cure not in run("config", "-c", recipe, code=2).stderr
    page = (ROOT / "docs" / "metrics.md").read_text().partition("### Thresholds")[2].partition("```yaml\n")[2]
    recipe.write_text(text + page.partition("```")[0])
    assert "MultiLabelThreshOutput" in run("config", "-c", recipe).stdout
