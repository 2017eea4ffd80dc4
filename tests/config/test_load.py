import pytest

from ppcls import config
from ppcls.config.show import to_yaml
from ppcls.errors import ConfigError


def errors(path, registries, *changes):
    with pytest.raises(ConfigError) as caught:
        config.load(path, changes, registries=registries)
    return str(caught.value)


def test_values_defaults_and_types(recipe, registries):
    loaded = config.load(recipe, ["Global.epochs=1e1"], registries=registries)
    assert loaded.Global.epochs == 10
    assert type(loaded.Global.epochs) is int
    assert loaded.Global.output_dir == "./out"
    assert loaded.Global.print_batch_step == 10
    assert loaded.Arch.arguments == {"rate": 0.1}
    assert loaded.Optimizer.arguments == {"weight_decay": 0.05}
    assert loaded.DataLoader.Train.dataset.transform_ops[1] == {"CropImage": {"size": [32, 32], "prob": 0.5}}
    assert loaded.DataLoader.Train.loader.num_workers == 4


def test_a_config_cannot_be_changed(recipe, registries):
    loaded = config.load(recipe, registries=registries)
    with pytest.raises(ValueError, match="frozen"):
        loaded.Global.epochs = 3


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("Global.epoch=5", ["-o Global.epoch=5", "unknown key", "did you mean 'epochs'?", "print_batch_step"]),
        ("weights=x", ["-o weights=x", "weights: unknown key", "allowed: Global, Arch"]),
        ("Global.epochs=2.5", ["Global.epochs: must be a whole number, not 2.5"]),
        ("Global.epochs=0", ["Global.epochs: must be greater than or equal to 1, not 0"]),
        ("Global.epochs=true", ["must be a whole number, not True"]),
        ("Global.eval_during_train=1", ["must be true or false, not 1"]),
        ("Global.output_dir=5", ["must be text, not 5", "quote it"]),
        ("Global.output_dir=null", ["must be text, not null"]),
        ("Global.device=gpuu", ["must be 'auto', 'gpu'", "not 'gpuu'"]),
        ("Global.image_shape=[3, 32]", ["Global.image_shape", "at least 3"]),
        ("Arch.name=Nett", ["Arch.name: unknown architecture 'Nett'; did you mean 'Net'?"]),
        ("Arch.dept=3", ["Arch.dept: unknown argument; did you mean 'depth'?", "name, pretrained"]),
        ("Arch.depth=x", ["Arch.depth: must be a whole number, not 'x'"]),
        ("Optimizer.lr.learning_rat=1", ["Optimizer.lr.learning_rat", "did you mean 'learning_rate'?"]),
        ("Optimizer.parameters=[1]", ["Optimizer.parameters: unknown argument"]),
        ("Optimizer.weight_decay=.nan", ["must be a finite number"]),
        ("Loss.Train.0.CELoss.epsilom=1", ["Loss.Train.0.CELoss.epsilom: unknown argument; did you mean 'epsilon'?"]),
        ("Loss.Train.0=CELoss", ["Loss.Train.0: must be a mapping"]),
        (
            "Metric.Eval=[{TopkAc: {topk: [1]}}]",
            ["Metric.Eval.0.TopkAc: unknown metric 'TopkAc'; did you mean 'TopkAcc'?"],
        ),
        ("DataLoader.Train.dataset.transform_ops.1.CropImage.sise=3", ["sise", "did you mean 'size'?"]),
        ("DataLoader.Train.dataset.transform_ops.1.CropImage.prob=3", ["CropImage.prob: prob must be between 0 and 1"]),
        ("DataLoader.Train.dataset.transform_ops.1.CropImage.size=x", ["size: must be"]),
        ("DataLoader.Train.dataset.transform_ops.0.CropImage=3", ["CropImage: must be a mapping"]),
        ("DataLoader.Train.dataset.image_root=null", ["image_root: must be text"]),
        ("DataLoader.Train.sampler.batch_siz=3", ["did you mean 'batch_size'?"]),
        ("DataLoader.Train.loader.workers=3", ["DataLoader.Train.loader.workers: unknown key", "num_workers"]),
        ("AMP.level=O3", ["AMP.level: must be 'O1' or 'O2', not 'O3'"]),
        ("Arch.name=[a]", ["Arch.name: must be text, not a list"]),
        ("DataLoader.Train.sampler.name={}", ["sampler.name: must be text, not a mapping"]),
        ("DataLoader.Train.dataset.transform_ops.--1.CropImage.size=3", ["give a position from 0 to 1"]),
        ("DataLoader.Train.dataset.transform_ops.-1.CropImage.size=3", ["there is no -1"]),
        ("Global.epochs=" + "9" * 5000, ["must be a whole number"]),
        (
            "DataLoader.Train.dataset.transform_ops.0={RandomErasing: {}}",
            ["unknown transform 'RandomErasing' (allowed: CropImage); add your own with --import FILE"],
        ),
        ("EMA.decay=1.5", ["EMA.decay: must be less than 1, not 1.5"]),
    ],
)
def test_one_mistake_is_explained(recipe, registries, change, parts):
    message = errors(recipe, registries, change)
    for part in (f"-o {change[:70]}", *parts):
        assert part in message
    assert "\n" not in message


def test_missing_keys_are_named(recipe, registries):
    recipe.write_text("Arch: {depth: 3}\nOptimizer: {name: SGD}\nDataLoader: {Train: {dataset: {name: Files}}}\n")
    message = errors(recipe, registries)
    for part in (
        "recipe.yaml:1: Arch.name: missing",
        "recipe.yaml:2: Optimizer.lr: missing",
        "recipe.yaml:3: DataLoader.Train.sampler: missing",
        "recipe.yaml:3: DataLoader.Train.dataset.image_root: missing",
    ):
        assert part in message


def test_all_mistakes_at_once_with_their_places(recipe, registries):
    recipe.write_text(
        recipe.read_text()
        .replace("epochs: 5", "epoch: 5")
        .replace("prob: 0.5", "prob: 5")
        .replace("rate: 1e-1", "rate: x")
    )
    message = errors(recipe, registries, "Loss.Train.0.CELoss.weight=no", "Global.9", "Arch.class_num=ten")
    assert message.startswith("6 mistakes in ")
    for part in (
        f"{recipe}:2: Global.epoch: unknown key",
        f"{recipe}:7: Arch.rate: must be a number, not 'x'",
        f"{recipe}:24: DataLoader.Train.dataset.transform_ops.1.CropImage.prob: prob must be",
        "-o Loss.Train.0.CELoss.weight=no: ",
        "-o Global.9: ",
        "-o Arch.class_num=ten: Arch.class_num: must be a whole number, not 'ten'",
    ):
        assert part in message, message


def test_bases_are_merged_and_lists_replaced(recipe, registries, tmp_path):
    (tmp_path / "sub").mkdir()
    top = tmp_path / "sub" / "top.yaml"
    (tmp_path / "optim.yaml").write_text(
        "Optimizer:\n  _delete_: true\n  name: SGD\n  lr: {name: Cosine, learning_rate: 1}\n"
    )
    top.write_text(
        "_base_: [../recipe.yaml, ../optim.yaml]\nGlobal: {epochs: 9}\n"
        "Loss: {Train: [{CELoss: {weight: 2.0}}]}\nDataLoader: {Train: {sampler: {batch_size: 4}}}\n"
    )
    loaded = config.load(top, registries=registries)
    assert loaded.Global.epochs == 9
    assert loaded.Global.output_dir == "./out"
    assert loaded.Loss.Train == [{"CELoss": {"weight": 2.0}}]
    assert loaded.Optimizer.arguments == {}
    assert loaded.DataLoader.Train.sampler.arguments == {"batch_size": 4, "shuffle": True}
    assert loaded.where("Global", "epochs") == f"{top}:2"
    assert loaded.where("Global", "output_dir").endswith("recipe.yaml:3")
    assert loaded.where("Global", "seed") == "default"


def test_single_keys_of_bases_are_dropped(recipe, registries, tmp_path):
    (tmp_path / "middle.yaml").write_text("Global: {_delete_: [output_dir, epochs]}\n")
    (tmp_path / "further.yaml").write_text("_base_: middle.yaml\nGlobal: {_delete_: [seed], epochs: 7}\n")
    (tmp_path / "top.yaml").write_text("_base_: [recipe.yaml, further.yaml]\n")
    before, after = (config.load(tmp_path / name, registries=registries) for name in ("recipe.yaml", "top.yaml"))
    assert before.Global.output_dir == "./out"
    assert after.Global.output_dir != "./out"  # the default: both marks count
    assert after.Global.epochs == 7
    assert after.Optimizer == before.Optimizer
    (tmp_path / "last.yaml").write_text("_base_: top.yaml\nGlobal: {_delete_: true, seed: 3}\n")
    assert config.load(tmp_path / "last.yaml", registries=registries).Global.epochs != 7


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "_base_: b.yaml", "b": "_base_: c.yaml", "c": "_base_: b.yaml"}, "file: b.yaml -> c.yaml -> b.yaml"),
        ({"a": "_base_: a.yaml"}, "file: a.yaml -> a.yaml"),
        ({"a": "x: 1\n_base_: nothing.yaml"}, "a.yaml:2: _base_ nothing.yaml: no such file"),
        ({"a": "_base_: {x: 1}"}, "a.yaml:1: _base_ takes a file name or a list"),
        ({"a": "- 1"}, "a recipe is a mapping of sections"),
        ({"a": "Global:\n  _delete_: maybe"}, "a.yaml:2: _delete_ is true or false, or a list"),
    ],
)
def test_inheritance_mistakes(tmp_path, registries, files, message):
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    assert message in errors(tmp_path / "a.yaml", registries)


def test_an_empty_section_is_one_with_its_defaults(recipe, registries):
    recipe.write_text(recipe.read_text() + "Infer:\nMetric:\nAMP:\n")
    assert config.load(recipe, registries=registries).Infer.batch_size == 10


def test_a_base_may_be_a_shipped_recipe(tmp_path, registries):
    top = tmp_path / "mine.yaml"
    top.write_text("_base_: _base_/runtime.yaml\nArch: {name: Net}\n")
    assert config.load(top, registries=registries).Global.save_interval == 10


def test_binary_file_is_not_a_recipe(tmp_path, registries):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00binary")
    assert "cannot be read" in errors(path, registries)


def test_unknown_recipe_names_similar_ones(registries):
    message = errors("quick_start/digit_ConvMixer.yaml", registries)
    assert "quick_start/digits_ConvMixer.yaml" in message


def test_what_is_shown_is_a_recipe_with_the_same_meaning(recipe, registries, tmp_path):
    loaded = config.load(
        recipe, ["Global.seed=7", "Infer.save_dir='5'", "Global.output_dir=a: b # c"], registries=registries
    )
    text = to_yaml(loaded)
    again = tmp_path / "shown.yaml"
    again.write_text(text)
    assert config.load(again, registries=registries).plain() == loaded.plain()
    lines = {line.split("#")[0].strip(): line.split("  # ")[-1] for line in text.splitlines()}
    assert lines["epochs: 5"] == f"{recipe}:2"
    assert lines["seed: 7"] == "-o Global.seed=7"
    assert lines["print_batch_step: 10"] == "default"
    assert lines["weight_decay: 0.05"] == f"{recipe}:13"


def test_values_are_tried_when_the_shipped_components_are_used(tmp_path):
    """Range checks of the real constructors, all at once, with their places."""
    from ppcls import load_config

    changes = [
        "Optimizer.clip_norm=-1",
        "Optimizer.lr.learning_rate=-1",
        "DataLoader.Train.sampler.batch_size=0",
        "DataLoader.Train.dataset.transform_ops.1.Pad.padding=-2",
        "Loss.Train.0.CELoss.epsilon=2",
        "Metric.Eval.0.TopkAcc.topk=[0]",
    ]
    with pytest.raises(ConfigError) as caught:
        load_config("quick_start/digits_ConvMixer", changes)
    message = str(caught.value)
    assert message.startswith("6 mistakes")
    for change in changes:
        assert f"-o {change}: {change.split('=')[0]}: " in message


def test_transforms_are_constructed_once(recipe, registries):
    constructed = []
    registries["transform"].register(lambda size=8: constructed.append(size), name="Counted")
    changes = {"DataLoader.Train.dataset.transform_ops": [{"Counted": {"size": 3}}, {"Counted": None}]}
    config.load(recipe, changes, registries=registries)
    assert constructed == [3, 8]


def test_other_values_in_global(recipe, registries):
    loaded = config.load(recipe, registries=registries)
    changed = loaded.with_global(seed=7, checkpoints=None)
    assert (changed.Global.seed, loaded.Global.seed) == (7, 0)
    assert changed.Global.epochs == 5
    assert changed.where("Global", "epochs") == loaded.where("Global", "epochs")
    with pytest.raises(ValueError, match="sead"):
        loaded.with_global(sead=7)
