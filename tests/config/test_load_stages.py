"""Recipes of several stages: resolved and checked when they are loaded."""

import logging

import pytest

from ppcls import config
from ppcls.config.json_schema import json_schema
from ppcls.config.show import to_yaml
from ppcls.errors import ConfigError

STAGES = """\
Stages:
  - name: first
  - name: second
    init: best
    override:
      Global.epochs: 3
      Optimizer.lr.learning_rate: 1e-5
      DataLoader:
        Train: {sampler: {batch_size: 4}}
      DataLoader.Train.dataset.transform_ops.1.CropImage.prob: 1.0
  - name: third
    init: latest
    override:
      Optimizer: {_delete_: true, name: SGD, lr: {name: Cosine, learning_rate: 0.5}}
      Global: {epochs: 2}
      Metric.Eval: [{TopkAcc: {topk: [1]}}]
"""
FIRST = 26  # the line of `Stages:` in the file


@pytest.fixture
def staged(recipe):
    recipe.write_text(recipe.read_text() + STAGES)
    assert recipe.read_text().splitlines()[FIRST - 1] == "Stages:"
    return recipe


def errors(path, registries, *changes):
    with pytest.raises(ConfigError) as caught:
        config.load(path, changes, registries=registries)
    return str(caught.value)


def plain_stages(loaded):
    return {name: stage.plain() for name, stage in loaded.stages.items()}


def test_each_stage_is_the_recipe_with_its_changes(staged, registries):
    loaded = config.load(staged, registries=registries)
    assert list(loaded.stages) == ["first", "second", "third"]
    first, second, third = loaded.stages.values()
    assert (loaded.Global.epochs, first.Global.epochs, second.Global.epochs, third.Global.epochs) == (5, 5, 3, 2)
    assert [stage.Global.output_dir for stage in loaded.stages.values()] == ["out/first", "out/second", "out/third"]
    assert [stage.Global.pretrained_model for stage in loaded.stages.values()] == [
        None,
        "out/first/best_model",
        "out/second/latest",
    ]
    assert {stage.Global.checkpoints for stage in loaded.stages.values()} == {"auto"}
    assert second.Optimizer.lr.arguments == {"learning_rate": 1e-5, "warmup_epoch": 1}
    assert second.DataLoader.Train.sampler.arguments == {"batch_size": 4, "shuffle": True}
    assert second.DataLoader.Train.dataset.transform_ops == [
        {"CropImage": {"size": 32}},
        {"CropImage": {"size": [32, 32], "prob": 1.0}},
    ]
    assert second.where("Global", "epochs") == f"{staged}:{FIRST + 5}"
    assert third.Optimizer.name == "SGD"
    assert third.Optimizer.arguments == {}
    assert third.Optimizer.lr.arguments == {"learning_rate": 0.5}
    assert third.DataLoader.Train.sampler.arguments["batch_size"] == 8, "overrides do not add up"
    assert second.Stages is None


def test_the_resolved_recipe_is_a_recipe_and_so_is_a_stage(staged, registries, tmp_path):
    loaded = config.load(staged, registries=registries)
    (tmp_path / "whole.yaml").write_text(to_yaml(loaded))
    again = config.load(tmp_path / "whole.yaml", registries=registries)
    assert again.plain() == loaded.plain()
    assert plain_stages(again) == plain_stages(loaded)
    (tmp_path / "stage.yaml").write_text(to_yaml(loaded.stage("third")))
    assert config.load(tmp_path / "stage.yaml", registries=registries).plain() == loaded.stage("third").plain()


def test_the_command_line_changes_the_recipe_first_and_stages_by_position(staged, registries, caplog):
    changes = [
        "Global.epochs=9",
        "Global.seed=4",
        "Stages.2.override.Global.epochs=7",
        "Stages.2.init=weights.pdparams",
    ]
    loaded = config.load(staged, changes, registries=registries)
    assert [stage.Global.epochs for stage in loaded.stages.values()] == [9, 3, 7]
    assert {stage.Global.seed for stage in loaded.stages.values()} == {4}
    assert loaded.stage("third").Global.pretrained_model == "weights.pdparams"
    replaced = "-o Global.epochs=9: stage second has its own value, 3"
    assert [record.getMessage() for record in caplog.records if replaced in record.getMessage()]
    assert not [record for record in caplog.records if "seed" in record.getMessage()]


def test_averaged_and_trained_weights_of_a_stage(staged, registries):
    """With EMA, PREFIX.pdparams is the average and PREFIX_raw.pdparams what is trained on."""
    for init, weights in (("best", "best_model"), ("latest", "latest_raw"), ("ema", "latest")):
        loaded = config.load(staged, ["EMA.decay=0.99", f"Stages.2.init={init}"], registries=registries)
        assert loaded.stage("third").Global.pretrained_model == f"out/second/{weights}"


def test_without_stages_there_are_none(staged, registries):
    loaded = config.load(staged, ["Stages=null"], registries=registries)
    assert loaded.stages == {}
    assert loaded.Global.checkpoints is None
    with pytest.raises(ConfigError, match="the recipe has no Stages"):
        loaded.stage("first")


def test_an_unknown_stage_is_named(staged, registries):
    with pytest.raises(ConfigError, match=r"unknown stage 'secnd'; did you mean 'second'\? \(allowed: first, second"):
        config.load(staged, registries=registries).stage("secnd")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("Global.epochs: 3", "Global.epoch: 3", 5, "stage second: Global.epoch: unknown key; did you mean 'epochs'?"),
        ("Global.epochs: 3", "Global.epochs: x", 5, "stage second: Global.epochs: must be a whole number, not 'x'"),
        ("batch_size: 4", "batch_sise: 4", 8, "stage second: DataLoader.Train.sampler.batch_sise: unknown argument"),
        ("prob: 1.0", "prob: 3", 9, "stage second: DataLoader.Train.dataset.transform_ops.1.CropImage.prob: prob must"),
        ("ops.1.Crop", "ops.2.Crop", 9, "stage second: DataLoader.Train.dataset.transform_ops has positions 0 to 1"),
        ("TopkAcc", "TopkAc", 15, "stage third: Metric.Eval.0.TopkAc: unknown metric 'TopkAc'; did you mean"),
        ("{epochs: 2}", "{output_dir: x}", 14, "stage third: Global.output_dir cannot be overridden: a stage writes"),
        ("{epochs: 2}", "{checkpoints: x}", 14, "stage third: Global.checkpoints cannot be overridden"),
        ("Global.epochs: 3", "Global.pretrained_model: x", 5, "stage second: Global.pretrained_model cannot be"),
        ("Global.epochs: 3", "Stages: []", 5, "stage second: Stages: write Section.key"),
        ("Global.epochs: 3", "Global..epochs: 3", 5, "stage second: Global..epochs: write Section.key"),
        ("_delete_: true", "_delete_: 3", 13, "stage third: _delete_ is true or false, or a list of keys, not 3"),
        ("name: third", "name: second", 10, "Stages.2.name: 'second' is used twice"),
        ("name: third", "name: ../third", 10, "Stages.2.name: names a folder: letters"),
        ("name: third", "name: 3", 10, "Stages.2.name: must be text, not 3"),
        ("override:", "overide:", 4, "Stages.1.overide: unknown key; did you mean 'override'?"),
        (
            "- name: first",
            "- name: first\n    init: best",
            2,
            "Stages.0.init: the first stage starts from Global.pretrai",
        ),
        ("init: latest", "init: ema", 11, "Stages.2.init: ema: stage second has no EMA section"),
        ("Global.epochs: 3", "Global.eval_during_train: false", 11, ""),
    ],
)
def test_mistakes_name_the_line_and_the_stage(staged, registries, old, new, line, message):
    staged.write_text(staged.read_text().replace(old, new, 1))
    if not message:
        staged.write_text(staged.read_text().replace("init: latest", "init: best"))
        message = "Stages.2.init: best: stage second does not evaluate (Global.eval_during_train: "
    assert errors(staged, registries).startswith(f"{staged}:{FIRST + line}: {message}")


def test_what_is_left_of_the_recipe_says_how_to_drop_it(staged, registries):
    staged.write_text(staged.read_text().replace("_delete_: true, name: SGD", "name: SGD"))
    text = errors(staged, registries)
    assert f"{staged}:13: stage third: Optimizer.weight_decay: unknown argument" in text
    assert f"not set in the stage's override ({staged}:{FIRST + 12}); drop it there with `_delete_: true`" in text


def test_mistakes_of_the_recipe_are_said_once_and_those_of_all_stages_together(staged, registries):
    text = errors(staged, registries, "Global.seed=x", "Stages.1.override.Global.epochs=0", "Stages.2.override.Arch=3")
    assert text.startswith("3 mistakes in")
    assert text.count("Global.seed: must be") == 1
    assert errors(staged, registries, "Global=3") == "-o Global=3: Global: must be a mapping, not 3"
    assert "Global is 3" in errors(staged, registries, "Stages.1.override.Global=3")


def test_overrides_that_change_nothing_are_said(staged, registries, caplog):
    text = staged.read_text()
    assert text.count("Global.epochs: 3") == 1
    staged.write_text(text.replace("Global.epochs: 3", "Global.epochs: 5"))
    line = next(number for number, line in enumerate(staged.read_text().splitlines(), 1) if "Global.epochs: 5" in line)
    with caplog.at_level(logging.WARNING):
        changes = ["Stages.2.override=null"]
        config.load(staged, changes, registries=registries)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        f"{staged}:{line}: stage second: Global.epochs changes nothing",
        "-o Stages.2.override=null: stage third has no override: it repeats the recipe",
    ]


def test_bases_hand_their_stages_on(staged, registries, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"_base_: {staged.name}\nGlobal: {{seed: 3}}\n")
    loaded = config.load(tmp_path / "mine.yaml", registries=registries)
    assert loaded.stage("third").Optimizer.arguments == {}, "a delete mark in a base's stage counts"
    assert loaded.stage("third").Global.seed == 3


def test_editors_know_stages(registries):
    schema = json_schema(registries)
    assert "override" in schema["$defs"]["StageSection"]["properties"]
    assert "Stages" in schema["properties"]
