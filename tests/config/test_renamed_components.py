"""Another component named with -o, where the recipe has arguments of the one before."""

import pytest
import yaml

from ppcls import config
from ppcls.errors import ConfigError


def load(recipe, registries, *changes):
    return config.load(recipe, changes, registries=registries)


def test_arguments_of_the_component_before_are_named_with_how_to_drop_them(recipe, registries):
    values = yaml.safe_load(recipe.read_text())
    values["Optimizer"] = {"name": "AdamW", "weight_decay": 0.01, "lr": {"name": "Cosine", "learning_rate": 0.1}}
    recipe.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError) as caught:
        load(recipe, registries, "Optimizer.name=SGD")
    text = str(caught.value)
    assert "Optimizer.weight_decay: unknown argument" in text
    assert "SGD does not take it: to drop it, replace the whole section, -o 'Optimizer={name: SGD, ...}'" in text
    cure = "Optimizer={name: SGD, lr: {name: Cosine, learning_rate: 0.1}}"
    assert load(recipe, registries, cure).Optimizer.name == "SGD"


def test_misspelt_arguments_are_not_called_those_of_another_component(recipe, registries):
    for changes in (["Optimizer.weight_decoy=1"], ["Optimizer.name=SGD", "Optimizer.weight_decoy=1"]):
        with pytest.raises(ConfigError) as caught:
            load(recipe, registries, *changes)
        line = next(line for line in str(caught.value).splitlines() if "weight_decoy" in line)
        assert "does not take it" not in line
