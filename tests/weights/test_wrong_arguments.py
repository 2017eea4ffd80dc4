"""What ``load_weights`` and ``create_model`` say of arguments, and of arrays that are no weights."""

import pickle

import numpy as np
import pytest

from ppcls.errors import PpclsError, WeightsError
from ppcls.weights import load_weights
from tests.weights.torch_files import tiny


def arrays_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("drop", [False, True])
def test_integers_are_no_weights(drop):
    weights = {name: array.astype(np.int32) for name, array in arrays_of(tiny()).items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(tiny(), weights, drop_mismatched_head=drop)
    text = str(caught.value)
    assert "nothing was loaded; the names and shapes are right:" in text
    assert f"{len(weights)} of another type than floating-point numbers: " in text
    assert "head.weight holds int32" not in text or not drop
    assert "looks like" not in text
    assert "Only the head" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "output/fl"}, r"model: must be a paddle\.nn\.Layer, not str"),
        ({"weights": 5}, "weights: must be a path"),
        ({"image_size": [32, 32]}, "image_size: the weights of ConvMixer fit images of any size; leave it out"),
    ],
)
def test_wrong_arguments(arguments, message):
    model = tiny()
    with pytest.raises(PpclsError, match=message):
        load_weights(**{"model": model, "weights": arrays_of(model), **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights_key": "nope"}, "weights_key: describes weights, and none are named; give pretrained"),
        ({"pretrained_image_size": [32, 48]}, "pretrained_image_size: describes weights, and none are named"),
        ({"weights_key": "nope", "pretrained": False}, "weights_key: describes weights, and none are named"),
        (
            {"pretrained": "w", "pretrained_image_size": 32},
            "pretrained_image_size: the weights of ConvMixer fit images of",
        ),
        (
            {"pretrained": "w", "weights_key": "x"},
            r"(?s)no 'x' in it\n.*blocks.* tensors\).*; choose with weights_key=",
        ),
        ({"pretrained": "w", "weights_key": "x", "class_num": None}, r"(?s)no 'x' in it\n.*; choose with weights_key="),
    ],
)
def test_wrong_arguments_of_create_model(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(arrays_of(tiny()), protocol=4))
    tiny(pretrained="w", weights_key=None, pretrained_image_size=None)
    with pytest.raises(PpclsError, match=message):
        tiny(**arguments)
