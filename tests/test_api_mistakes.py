"""Mistakes in what Python code gives to a training: each is an error of ours, and names the object."""

import copy
import subprocess
import sys

import numpy as np
import pytest
from paddle import nn

import ppcls
from ppcls.data.datasets import ItemDataset
from ppcls.engine import load_config
from ppcls.engine.supplied import Supplied
from ppcls.errors import DataError, PpclsError
from ppcls.supplied_recipe import RecipeCompletion
from tests.helpers.recipes import ROOT
from tests.helpers.supplied import EVAL, TRAIN, Named, Net, bare_recipe, pictures


@pytest.fixture
def recipe(tmp_path):
    return bare_recipe(tmp_path)


class Bare:
    pass


class Broken(list):
    def __getitem__(self, index):
        raise KeyError("lost")


MISTAKES = {
    "no recipe": (5, {}, "a recipe is a path, a name or a dict, not int"),
    "missing": ({"Global": {"epochs": 1}}, {}, "Optimizer: missing; training needs it"),
    "missing data": (
        {"Global": {"epochs": 1}},
        {},
        r"(?s)DataLoader.Train: missing.*or give train_dataset=.*Arch: miss",
    ),
    "misspelt": (
        {"Globl": {"epochs": 1}, "Arch": {"name": "ConvMixer"}},
        {"train_dataset": TRAIN},
        "Globl: unknown key; did you mean",
    ),
    "changes": ({}, {"changes": 3}, "changes: a list of 'Key.sub=value' or a dict"),
    "no data set": (None, {"train_dataset": Bare()}, "train_dataset: a data set has __len__ and __getitem__"),
    "a number": (None, {"train_dataset": 3}, "train_dataset: a data set has __len__"),
    "a path": (None, {"train_dataset": "photos"}, "train_dataset: a data set has __len__"),
    "a class": (None, {"train_dataset": Named}, "train_dataset: a data set has __len__"),
    "a dict": (None, {"train_dataset": {"a": 1}}, r"train_dataset\[0\]: KeyError: 0"),
    "arrays": (None, {"train_dataset": pictures(0, 9)}, r"train_dataset\[0\]: must be \(image, label\), not 9 values"),
    "empty": (None, {"train_dataset": []}, "train_dataset: is empty"),
    "empty evaluation": (None, {"train_dataset": TRAIN, "eval_dataset": []}, "eval_dataset: is empty"),
    "broken": (
        None,
        {"train_dataset": Broken(TRAIN)},
        r"train_dataset\[0\]: .*test_api_mistakes\.py:32: KeyError: 'lost'",
    ),
    "floats": (
        None,
        {"train_dataset": [(TRAIN[0][0] / 255, 1)]},
        r"train_dataset\[0\]: an array of float64: takes uint8",
    ),
    "channels first": (
        None,
        {"train_dataset": [(TRAIN[0][0].transpose(2, 0, 1), 1)]},
        r"train_dataset\[0\]: an array of shape \[3, 16, 16\]: takes RGB",
    ),
    "no image": (None, {"train_dataset": [(None, 1)]}, r"train_dataset\[0\]: an image is a uint8 array"),
    "no file": (None, {"train_dataset": [("nowhere.png", 1)]}, "nowhere.png: No such file"),
    "no label": (None, {"train_dataset": [(TRAIN[0][0], 1.5)]}, r"train_dataset\[0\]: a label is a class id"),
    "a name": (None, {"train_dataset": [(TRAIN[0][0], "cat")]}, "the label 'cat' is not known: it has no class_names"),
    "negative": (None, {"train_dataset": [(TRAIN[0][0], -1)]}, "label -1 is outside 0"),
    "too large": (None, {"train_dataset": TRAIN, "changes": ["Arch.class_num=5"]}, "is outside 0..4"),
    "evaluation": (None, {"train_dataset": TRAIN[:4], "eval_dataset": EVAL}, "DataLoader.Eval: label . is outside"),
    "no layer": (None, {"train_dataset": TRAIN, "model": 3}, "model: expected a paddle.nn.Layer, not int"),
    "a layer's class": (None, {"train_dataset": TRAIN, "model": Net}, "the class Net: give an instance"),
    "other classes": (None, {"train_dataset": TRAIN, "model": Net(7)}, r"must give logits \[1, 10\].*not \[1, 7\]"),
    "other input": (
        None,
        {"train_dataset": TRAIN, "model": nn.Linear(3, 10)},
        "model: Linear fails|model: Linear must",
    ),
    "no callbacks": (None, {"train_dataset": TRAIN, "callbacks": Bare()}, "callbacks: expected a list"),
    "no hooks": (
        None,
        {"train_dataset": TRAIN, "callbacks": [Bare()]},
        r"callback Bare \(callbacks\[0\]\): has no method that is called",
    ),
    "hooks' class": (
        None,
        {"train_dataset": TRAIN, "callbacks": [ppcls.Callback]},
        "Callback is a class; give an inst",
    ),
    "no stage": (None, {"train_dataset": TRAIN, "stage": "second"}, "the recipe has no Stages"),
    "no size": (None, {"train_dataset": TRAIN, "changes": ["Global.image_shape=null"]}, "Global.image_shape: missing"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_errors_of_ours(case, recipe):
    values, arguments, message = MISTAKES[case]
    with pytest.raises(PpclsError, match=message):
        ppcls.train(recipe if values is None else values, **arguments)


def test_images_that_fail_later_are_named(recipe):
    class Fails(list):
        labels = [label for _, label in TRAIN]  # noqa: RUF012

        def __getitem__(self, index):
            if index == 5:
                raise OSError("disk on fire")
            return super().__getitem__(index)

    for workers in (0, 1):
        recipe["DataLoader"] = {"Train": {"loader": {"num_workers": workers}}}
        with pytest.raises(DataError, match=r"train_dataset\[5\]: .*test_api_mistakes\.py:\d+: OSError: disk on fire"):
            ppcls.train(recipe, train_dataset=Fails(TRAIN))
    fails = Fails(TRAIN)
    fails.on_error = "skip"
    recipe["DataLoader"] = {}
    result = ppcls.train(recipe, train_dataset=fails)
    assert "train_dataset[5]" in (result.run_dir / "skipped_images.txt").read_text()


def test_images_of_every_kind():
    image = pytest.importorskip("PIL.Image")
    array = TRAIN[0][0]
    gray = array[:, :, 0]
    items = [(array, 0), (gray, np.int64(1)), (image.fromarray(array), np.array([2])), (image.fromarray(gray), 3)]
    dataset = ItemDataset(items, "x")
    assert dataset.labels.tolist() == [0, 1, 2, 3]
    assert all(np.array_equal(dataset.read(index), array) for index in range(4))
    assert dataset.read_many(np.array([0, 1])) is None
    stackable = ItemDataset(TRAIN, "x")
    assert np.array_equal(stackable.read_many(np.array([3, 1])), np.stack([TRAIN[3][0], TRAIN[1][0]]))


def test_importing_ppcls_is_light():
    code = (
        "import sys, ppcls; assert not {'paddle', 'numpy'} & set(sys.modules); ppcls.Predictor; ppcls.load_predictor; "
        "assert 'paddle' not in sys.modules; ppcls.train; assert 'paddle' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


JUNK = [None, 0, "abc", [], {}, [1], {"a": 1}, {"name": ["x"]}, object(), {1: 2}, {"a.b": 1}]


def places(value, path=()):
    """Yield the path of every value below a recipe."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def test_whatever_stands_in_a_recipe_is_completed_or_refused(recipe):
    transforms = [{"DecodeImage": None}, {"NormalizeImage": None}, {"ToCHWImage": None}]
    dataset = {"name": "ImageFolder", "image_root": "x", "transform_ops": transforms}
    recipe["DataLoader"] = {"Train": {"dataset": dataset, "sampler": {"batch_size": 4}}, "Eval": {"loader": {}}}
    recipe["Infer"] = {"transforms": [{"DecodeImage": None}]}
    supplied = Supplied(Net(), ItemDataset(TRAIN, "train_dataset"), ItemDataset(EVAL, "eval_dataset"))
    results = {True: 0, False: 0}
    for path in places(recipe):
        for junk in JUNK:
            changed = copy.deepcopy(recipe)
            section = changed
            for part in path[:-1]:
                section = section[part]
            section[path[-1]] = junk
            try:
                load_config(changed, complete=RecipeCompletion(supplied))
            except PpclsError:
                results[False] += 1
            else:
                results[True] += 1
    assert min(results.values()) > 50
