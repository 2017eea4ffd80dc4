"""Recipes and changes that are Python values."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from ppcls import config
from ppcls.errors import ConfigError
from tests.config.conftest import RECIPE


@pytest.fixture
def values():
    return yaml.safe_load(RECIPE)


def test_a_dict_means_what_the_file_means(values, recipe, registries):
    loaded = config.load(values, registries=registries)
    assert loaded.plain() == config.load(recipe, registries=registries).plain()
    assert loaded.where("Global", "epochs") == "the dict"
    assert loaded.where("Global", "seed") == "default"


def test_text_that_recipes_read_as_numbers_is_read_so_in_a_dict(values, registries):
    crop = {"size": "(8, 9)", "scale": ["1e-3", "1.0/20.0", "-1e-2"], "prob": "1/2"}
    values["DataLoader"]["Train"]["dataset"].update(
        image_root="2024/11", cls_label_path="1e-3", delimiter="None", transform_ops=[{"CropImage": crop}]
    )
    values["Optimizer"]["lr"]["learning_rate"] = "1e-3"
    values["Global"].update(output_dir="1/2", image_shape="(3, 8*2, 16)", checkpoints="None", epochs="1e2")
    loaded = config.load(values, {"Optimizer.weight_decay": "5e-2"}, registries=registries)
    dataset = loaded.DataLoader.Train.dataset
    assert dataset.transform_ops[0]["CropImage"] == {"size": [8, 9], "scale": [0.001, 0.05, -0.01], "prob": 0.5}
    assert dataset.arguments == {"image_root": "2024/11", "cls_label_path": "1e-3", "delimiter": None}
    assert loaded.Optimizer.lr.arguments["learning_rate"] == 0.001
    assert loaded.Optimizer.arguments["weight_decay"] == 0.05
    assert (loaded.Global.output_dir, loaded.Global.image_shape) == ("1/2", [3, 16, 16])
    assert (loaded.Global.checkpoints, loaded.Global.epochs) == (None, 100)
    assert config.load(loaded, registries=registries).plain() == loaded.plain()


def test_values_of_a_stored_recipe_are_not_read_again(values, registries):
    values["Arch"]["act"] = "1e-3"
    stored = config.load(values, registries=registries).plain()
    stored["Arch"]["act"] = "None"  # text that was quoted
    assert config.load_values(stored, "run", registries=registries).Arch.arguments["act"] == "None"


def test_changes_may_be_a_mapping(values, registries):
    changes = {
        "Global.epochs": np.int64(3),
        "Global.output_dir": Path("a=b"),
        "DataLoader.Train.dataset.transform_ops.0.CropImage.size": (8, 9),
        "AMP": {"level": "O2"},
    }
    loaded = config.load(values, changes, registries=registries)
    assert (loaded.Global.epochs, loaded.Global.output_dir, loaded.AMP.level) == (3, "a=b", "O2")
    assert loaded.DataLoader.Train.dataset.transform_ops[0] == {"CropImage": {"size": [8, 9]}}
    assert loaded.where("Global", "epochs") == "-o Global.epochs=3"
    assert config.load(values, ["Global.epochs=4"], registries=registries).Global.epochs == 4


def test_a_dict_may_have_bases_and_stages(values, registries, recipe):
    derived = {
        "_base_": str(recipe),
        "Global": {"epochs": 7},
        "Stages": [{"name": "one"}, {"name": "two", "override": {"Global.epochs": 2}}],
    }
    loaded = config.load(derived, registries=registries)
    assert [stage.Global.epochs for stage in loaded.stages.values()] == [7, 2]
    assert loaded.where("Arch", "name") == f"{recipe}:5"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"Global.epochs": 3},
            r"the dict: the key 'Global\.epochs' has a dot in it: write {'Global': {'epochs':",
        ),
        ({"Global": {"epochs.x": 3}}, r"the dict: Global: the key 'epochs\.x' has a dot"),
        ({"Global": {3: 3}}, "the dict: Global: the key 3 must be text"),
        (
            {"Global": {"epochs": object()}},
            r"the dict: Global\.epochs: a recipe holds numbers, text, lists and dicts, not object",
        ),
        ({"Global": {"epoch": 3}}, r"the dict: Global\.epoch: unknown key; did you mean 'epochs'"),
        (
            {"Optimizer": {"name": "AdamW", "lr": {"name": "Cosine", "learning_rate": "fast"}}},
            "must be a number, not 'fast'",
        ),
        ({"Global": {"epochs": "3"}}, "must be a whole number, not '3'"),  # quoted, in a file as well
        ({"Global": {"epochs": "3/2"}}, "must be a whole number, not 3/2"),
        ({"Global": {"output_dir": "None"}}, "must be text, not null"),
        ({"Arch": {}}, r"the dict: Arch\.name: missing"),
        ({"Arch": "Net"}, "Arch: must be a mapping, not 'Net'"),
    ],
)
def test_mistakes_in_a_dict(values, registries, change, message):
    with pytest.raises(ConfigError, match=message):
        config.load({**values, **change}, registries=registries)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Global.epoch": 3}, r"-o Global\.epoch=3: Global\.epoch: unknown key"),
        ({3: 3}, "the key 3 must be text"),
        ({"Global..epochs": 3}, r"write it as Section\.key=value"),
        ({"Global.epochs": "3"}, r"Global\.epochs: must be a whole number, not '3'"),
        ("Global.epochs", r"-o Global\.epochs: write it as Section\.key=value"),
    ],
)
def test_mistakes_in_changes(values, registries, changes, message):
    with pytest.raises(ConfigError, match=message):
        config.load(values, changes, registries=registries)


def test_a_recipe_is_a_path_a_name_or_a_dict(registries):
    with pytest.raises(ConfigError, match="a recipe is a path, a name or a dict, not list"):
        config.load([], registries=registries)
