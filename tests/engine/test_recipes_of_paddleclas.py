"""Recipes as PaddleClas's users have them: without ToCHWImage, with keys of parts that are not here."""

import json

import numpy as np
import pytest
import yaml

import ppcls
from ppcls.engine.data import build_loader
from ppcls.errors import DataError

TO_CHW = {"ToCHWImage": None}


@pytest.fixture
def without(recipe):
    """Return the path of the recipe without ToCHWImage; the recipe itself has it."""
    values = yaml.safe_load(recipe.read_text())
    for side in values["DataLoader"].values():
        assert side["dataset"]["transform_ops"].pop() == TO_CHW
    values["Global"].update(use_dali=False, save_interval=-1)
    values["Optimizer"].update(clip_grad=5.0)
    values["Optimizer"]["lr"].update(last_epoch=-1, verbose=False)
    path = recipe.with_name("without.yaml")
    path.write_text(yaml.safe_dump(values))
    return path


def batches(path, side, epochs=2):
    with build_loader(ppcls.load_config(path), side) as loader:
        return [batch for epoch in range(epochs) for batch in loader.epoch(epoch)]


@pytest.mark.parametrize("side", ["Train", "Eval"])
def test_the_batches_are_the_same_bit_for_bit(recipe, without, side):
    pairs = list(zip(batches(recipe, side), batches(without, side)))
    assert len(pairs) > 4
    for written, added in pairs:
        assert written.images.shape[1:] == (3, 16, 16)
        assert written.images.dtype == added.images.dtype
        assert written.images.tobytes() == added.images.tobytes()
        assert np.array_equal(written.targets, added.targets)


def test_it_trains_evaluates_infers_and_exports(recipe, without, digits, run, tmp_path):
    expected = json.loads(run("train", "-c", recipe).stdout)
    done = run("train", "-c", without, "-o", f"Global.output_dir={tmp_path}/other")
    assert json.loads(done.stdout) == expected
    assert "Optimizer.clip_grad: has no effect, as in PaddleClas" in done.stderr
    assert not list((tmp_path / "other").glob("epoch_*"))
    weights = f"Global.pretrained_model={tmp_path}/other/best_model"
    assert json.loads(run("eval", "-c", without, "-o", weights).stdout)["top1"] == expected["top1"]
    answers = [
        json.loads(run("infer", "-c", path, "-o", weights, f"Infer.infer_imgs={digits}/val").stdout)
        for path in (recipe, without)
    ]
    assert answers[0] == answers[1]
    run("export", "-c", without, "-o", weights)
    described = yaml.safe_load((tmp_path / "inference" / "inference.yml").read_text())
    assert described["PreProcess"]["transform_ops"][-1] == TO_CHW
    exported = list(ppcls.Predictor(tmp_path / "inference").predict(digits / "val"))
    assert [answer["class_ids"] for answer in exported] == [answer["class_ids"] for answer in answers[1]]


def test_the_recipe_is_shown_with_it_and_can_be_changed(without, run):
    text = run("config", "-c", without).stdout
    assert text.count("ToCHWImage: null  ") == 2
    assert "added: models take images channels first" in text
    again = ppcls.load_config(ppcls.load_config(without), ["Global.epochs=3"])
    assert again.DataLoader.Train.dataset.transform_ops.count(TO_CHW) == 1
    assert again.plain()["DataLoader"] == ppcls.load_config(without).plain()["DataLoader"]


def test_where_it_is_added(without, tmp_path):
    def last(*ops, path=("Infer", "transforms")):
        key = ".".join(path)
        config = ppcls.load_config(without, {key: list(ops)}).plain()
        for part in path:
            config = config[part]
        return config[len(ops) :]

    decode, normalize = {"DecodeImage": None}, {"NormalizeImage": {"order": ""}}
    assert last(decode, normalize) == [TO_CHW]
    assert last(decode, {"NormalizeImage": {"order": "hwc"}}, {"RandomErasing": None}) == [TO_CHW]
    assert last(decode, normalize, TO_CHW) == []
    assert last(decode, TO_CHW, {"NormalizeImage": {"order": "chw"}}) == []
    assert last({"DecodeImage": {"channel_first": True}}, {"NormalizeImage": None}) == []
    assert last(path=("DataLoader", "Eval", "dataset", "transform_ops")) == []


def test_stages_have_it_too(without):
    values = yaml.safe_load(without.read_text())
    ops = values["DataLoader"]["Train"]["dataset"]["transform_ops"]
    override = {"DataLoader.Train.dataset.transform_ops": ops[:1] + ops[2:]}
    values["Stages"] = [{"name": "first"}, {"name": "second", "override": override}]
    without.write_text(yaml.safe_dump(values))
    stages = ppcls.load_config(without).stages
    assert stages["first"].DataLoader.Train.dataset.transform_ops[-1] == TO_CHW
    assert stages["second"].DataLoader.Train.dataset.transform_ops[-1] == TO_CHW
    assert len(stages["second"].DataLoader.Train.dataset.transform_ops) == len(ops)


OWN = """
import ppcls

@ppcls.TRANSFORMS.register
class Silent:
    def __call__(self, image):
        return image

@ppcls.TRANSFORMS.register
class Telling:
    output_layout = "hwc"

    def __call__(self, image):
        return image

@ppcls.TRANSFORMS.register
class Transposing:
    def __call__(self, image):
        return image.transpose(2, 0, 1)
"""


def test_after_a_transform_of_the_users_own_the_layout_is_known_where_it_says_so(without, tmp_path):
    (tmp_path / "own.py").write_text(OWN)

    def shape(*names):
        ops = ppcls.load_config(without).DataLoader.Eval.dataset.transform_ops[:-1]
        names = [{name: None} for name in names]
        changes = {"Global.imports": [f"{tmp_path}/own.py"], "DataLoader.Eval.dataset.transform_ops": [*ops, *names]}
        with build_loader(ppcls.load_config(without, changes), "Eval") as loader:
            return next(iter(loader.epoch(0))).images.shape

    assert shape("Telling")[1:] == (3, 16, 16)
    assert shape("Transposing")[1:] == (3, 16, 16)
    with pytest.raises(DataError, match="end transform_ops with ToCHWImage"):
        shape("Silent")
