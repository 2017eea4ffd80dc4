"""The number of classes of weights that other programs wrote: of their classifier."""

import json

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from ppcls.errors import WeightsError
from ppcls.utils.logging import get_logger
from ppcls.weights import create_model, read_weights
from ppcls.weights.class_count import class_num_in_file
from ppcls.weights.convert import convert_weights

SIZE = {"dim": 16, "depth": 2, "kernel_size": 3, "patch_size": 4}


@pytest.fixture
def files(tmp_path):
    """Return a folder with the same weights for seven classes, under several names, and without a classifier."""
    model = create_model("ConvMixer", 7, **SIZE)
    own = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in model.state_dict().items()}
    save_file(own, tmp_path / "own.safetensors")
    save_file({f"module.{name}": array for name, array in own.items()}, tmp_path / "prefixed.safetensors")
    save_file({k: v for k, v in own.items() if not k.startswith("head")}, tmp_path / "headless.safetensors")
    for naming in ("official", "timm"):
        target = tmp_path / f"{naming}.pth"
        convert_weights(tmp_path / "own.safetensors", target, model="ConvMixer", arguments=SIZE, naming=naming)
    return tmp_path


@pytest.fixture
def log(caplog, monkeypatch):
    """Return what is logged."""
    monkeypatch.setattr(get_logger(), "propagate", True)
    caplog.set_level("INFO")
    return caplog


@pytest.mark.parametrize("name", ["own.safetensors", "prefixed.safetensors", "official.pth", "timm.pth"])
def test_it_is_that_of_the_classifier(files, name, log):
    assert class_num_in_file(files / name, "ConvMixer") == 7
    model = create_model("ConvMixer", pretrained=files / name, **SIZE)
    assert model.class_num == 7
    assert f"class_num is not given: 7 (as in {files / name})" in log.text
    np.testing.assert_array_equal(model.head.bias.numpy(), read_weights(files / "own.safetensors")["head.bias"])
    with pytest.raises(WeightsError, match="Only the head differs: the weights have 7 classes"):
        create_model("ConvMixer", class_num=1000, pretrained=files / name, **SIZE)


def test_without_a_classifier_it_is_the_default(files, log):
    headless = files / "headless.safetensors"
    assert class_num_in_file(headless, "ConvMixer") is None
    with pytest.raises(WeightsError, match="the weights have no classifier, the model has class_num 1000"):
        create_model("ConvMixer", pretrained=headless, **SIZE)
    assert f"class_num is not given: 1000 ({headless} has no classifier, so it is the default)" in log.text
    assert create_model("ConvMixer", class_num=0, pretrained=headless, **SIZE).head is None
    assert create_model("ConvMixer", **SIZE).class_num == 1000


def test_commands(files, recipe, run, digits, tmp_path):
    values = yaml.safe_load(recipe.read_text())
    del values["Arch"]["class_num"]
    recipe.write_text(yaml.safe_dump(values))
    gone = [f"DataLoader.{side}.dataset.image_root={tmp_path}/gone" for side in ("Train", "Eval")]
    weights = f"Global.pretrained_model={files}/timm.pth"
    image = f"Infer.infer_imgs={digits}/val/000.png"
    done = run("infer", "-c", recipe, "-o", weights, image, "Infer.PostProcess={name: Topk, topk: 7}", *gone)
    assert sorted(json.loads(done.stdout)[0]["class_ids"]) == list(range(7))
    said = f"Arch.class_num is not in the recipe: 7 (that of the classifier in {files}/timm.pth)"
    assert said in done.stderr
    # With data, too: inference is about the weights alone. An evaluation is about both, and these do not fit.
    assert said in run("infer", "-c", recipe, "-o", weights, image).stderr
    assert "the weights have 7 classes, the model has class_num 10" in run(
        *("eval", "-c", recipe, "-o", weights), code=2
    ).stderr  # fmt: skip
    shown = run("config", "-c", recipe, "-o", weights, *gone).stdout
    line = next(line for line in shown.splitlines() if line.strip().startswith("class_num"))
    assert " ".join(line.split()) == f"class_num: 7 # that of the classifier in {files}/timm.pth"
    done = run("infer", "-c", recipe, "-o", f"Global.pretrained_model={files}/headless", image, *gone, code=2)
    assert "class_num is not in the recipe: 1000 (the default: neither weights nor data tell the count)" in done.stderr
