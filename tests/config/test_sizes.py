"""Image sizes that follow from each other."""

import pytest
import yaml

import ppcls
from ppcls import config
from ppcls.config.show import to_yaml
from ppcls.engine import checks
from ppcls.engine.components import REGISTRIES
from ppcls.errors import ConfigError


def recipe(evaluation, arch=None, train=None, **others):
    """Return a recipe whose evaluation has the given transforms."""

    def split(operations):
        dataset = {"name": "ImageFolder", "image_root": "x", "transform_ops": operations}
        return {"dataset": dataset, "sampler": {"batch_size": 2}}

    sides = {"Eval": split(evaluation), **({"Train": split(train)} if train is not None else {})}
    return {"Arch": arch or {"name": "ConvMixer", "dim": 8, "depth": 1}, "DataLoader": sides, **others}


SHORT = {"ResizeImage": {"resize_short": 72}}
GMLP = {"name": "gMLP_Ti16", "depth": 1}


def crop(size):
    return {"CropImage": {"size": size}}


def test_the_shape_follows_from_the_last_transform_that_decides():
    loaded = ppcls.load_config(recipe([SHORT, crop(80), {"ResizeImage": {"size": [64, 32]}}, {"ToCHWImage": None}]))
    assert loaded.Global.image_shape == [3, 32, 64]  # [C, H, W]; sizes in recipes are [width, height]
    origin = "derived from DataLoader.Eval.dataset.transform_ops.2.ResizeImage"
    assert loaded.where("Global", "image_shape") == origin
    shown = to_yaml(loaded)
    assert origin in shown
    assert ppcls.load_config(yaml.safe_load(shown)).plain() == loaded.plain()


@pytest.mark.parametrize("operations", [[SHORT], [crop(64), SHORT], [crop(64), {"Pad": {"padding": 2}}]])
def test_what_depends_on_the_images_decides_nothing(operations):
    loaded = ppcls.load_config(recipe(operations))
    assert loaded.Global.image_shape == [3, 224, 224]
    assert loaded.where("Global", "image_shape") == "default"
    assert ppcls.load_config(recipe(operations), {"Global.image_shape": (1, 9, 9)}).Global.image_shape == [1, 9, 9]


@pytest.mark.parametrize("size", [64, [96, 64]])
def test_an_architecture_that_is_built_for_one_size_is_built_for_that(size):
    loaded = ppcls.load_config(recipe([crop(size)], GMLP))
    assert loaded.Arch.arguments["image_size"] == (64 if size == 64 else [64, 96])
    assert loaded.where("Arch", "image_size") == "derived from DataLoader.Eval.dataset.transform_ops.0.CropImage"


def test_without_transforms_that_decide_shape_and_architecture_follow_from_each_other():
    loaded = ppcls.load_config(recipe([SHORT], GMLP), {"Global.image_shape": [3, 32, 32]})
    assert loaded.Arch.arguments["image_size"] == 32
    loaded = ppcls.load_config(recipe([SHORT], {**GMLP, "image_size": 48}))
    assert loaded.Global.image_shape == [3, 48, 48]
    assert loaded.where("Global", "image_shape") == "derived from Arch.image_size"


@pytest.mark.parametrize(
    ("values", "changes", "message"),
    [
        (
            recipe([crop(64)]),
            ["Global.image_shape=[3, 32, 32]"],
            r"-o Global\.image_shape=\[3, 32, 32\]: Global\.image_shape: is 32 x 32, but DataLoader\.Eval\.dataset\."
            r"transform_ops\.0\.CropImage \(the dict\) makes images of 64 x 64 \(height x width\); change one",
        ),
        (
            recipe([crop(64)], {**GMLP, "image_size": 32}),
            [],
            r"Arch\.image_size: is 32 x 32, but DataLoader\.Eval",
        ),
        (
            recipe([crop(64)], GMLP, Infer={"transforms": [crop(32)]}),
            [],
            r"Infer\.transforms\.0\.CropImage: makes images of 32 x 32, but DataLoader\.Eval.* makes images of 64 x 64",
        ),
    ],
)
def test_contradictions_are_refused_with_both_places(values, changes, message):
    with pytest.raises(ConfigError, match=message):
        ppcls.load_config(values, changes)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            224,
            r"RandCropImage: makes images of 160 x 160, but gMLP_Ti16 is built for 224 x 224 \(Arch\.image_size: the "
            r"default\) and cannot be trained on another size",
        ),
        (64, r"is built for 64 x 64 \(Arch\.image_size: derived from DataLoader\.Eval"),
    ],
)
def test_the_size_of_training_matters_to_training_alone(size, message):
    loaded = ppcls.load_config(recipe([crop(size)], GMLP, train=[{"RandCropImage": {"size": 160}}]))
    assert loaded.Global.image_shape == [3, size, size]
    for check in (checks.require_trainable, checks.require_training_sizes):
        with pytest.raises(ConfigError, match=message):
            check(loaded.with_global(epochs=1))
    checks.require_training_sizes(ppcls.load_config(recipe([crop(size)], GMLP, train=[crop(size)])))


def test_null_leaves_a_value_to_what_it_follows_from():
    values = recipe([crop(64)], {**GMLP, "image_size": 32, "in_channels": 3}, Global={"image_shape": [3, 32, 32]})
    changes = ["Arch.image_size=null", "Arch.in_channels=null", "Global.image_shape=null"]
    loaded = ppcls.load_config(values, changes)
    assert (loaded.Arch.arguments["image_size"], loaded.Global.image_shape) == (64, [3, 64, 64])
    with pytest.raises(ConfigError, match=r"Arch\.image_size: is 32 x 32, but"):
        ppcls.load_config(values, changes[1:])


def test_a_size_that_the_command_line_gives_to_a_stored_recipe_is_compared():
    stored = {**ppcls.load_config(recipe([crop(64)], {**GMLP, "image_size": 64})).plain()}
    load = {"name": "latest.pdstates", "registries": REGISTRIES}
    change = "DataLoader.Eval.dataset.transform_ops.0.CropImage.size=32"
    with pytest.raises(ConfigError, match=r"Arch\.image_size: is 64 x 64, but DataLoader.* \(-o DataLoader"):
        config.load_values(stored, changes=[change], **load)
    loaded = config.load_values(stored, changes=[change, "Arch.image_size=null", "Global.image_shape=null"], **load)
    assert loaded.Arch.arguments["image_size"] == 32


@pytest.mark.parametrize(
    ("section", "message", "shape"),
    [
        (
            {"Infer": {"transforms": [crop(32)]}},
            "Infer.transforms.0.CropImage: makes images of 32 x 32, but "
            "DataLoader.Eval.dataset.transform_ops.0.CropImage (the dict) makes images of 64 x 64 "
            "(height x width); inference and exported models take 32 x 32",
            [3, 32, 32],
        ),
        (
            {"Global": {"image_shape": [3, 48, 48]}},
            "Global.image_shape: is 48 x 48, but "
            "DataLoader.Eval.dataset.transform_ops.0.CropImage (the dict) makes images of 64 x 64 "
            "(height x width); inference and exported models take 64 x 64",
            [3, 64, 64],
        ),
    ],
)
def test_an_architecture_of_any_size_is_warned_and_inference_decides(section, message, shape, caplog):
    loaded = ppcls.load_config(recipe([crop(64)], **section))
    assert [record.getMessage() for record in caplog.records] == [f"the dict: {message}"]
    assert loaded.Global.image_shape == shape


def test_channels_of_the_architecture_follow_from_the_image_shape():
    loaded = ppcls.load_config(recipe([crop(64)], Global={"image_shape": [4, 64, 64]}))
    assert loaded.Arch.arguments["in_channels"] == 4
    assert loaded.where("Arch", "in_channels") == "derived from Global.image_shape"
    stated = ppcls.load_config(
        recipe(
            [crop(64)],
            {"name": "ConvMixer", "dim": 8, "depth": 1, "in_channels": 3},
            Global={"image_shape": [4, 64, 64]},
        )
    )
    assert stated.Arch.arguments["in_channels"] == 3


def test_training_may_use_another_size_where_the_architecture_takes_any():
    loaded = ppcls.load_config(recipe([crop(64)], train=[{"RandCropImage": {"size": 32}}]))
    assert loaded.Global.image_shape == [3, 64, 64]


def test_stages_are_compared_each_for_itself():
    stages = [
        {"name": "small"},
        {"name": "large", "override": {"DataLoader.Eval.dataset.transform_ops": [crop(64)]}},
    ]
    loaded = ppcls.load_config(recipe([crop(32)], Stages=stages))
    assert [stage.Global.image_shape[1] for stage in loaded.stages.values()] == [32, 64]


def test_checkpoints_of_versions_that_did_not_compare_sizes_still_load():
    values = ppcls.load_config(recipe([crop(64)])).plain()
    values["Global"]["image_shape"] = [3, 224, 224]  # the default was written out
    load = {"name": "latest.pdstates", "registries": REGISTRIES}
    assert config.load_values(values, **load).Global.image_shape == [3, 64, 64]
    values["Global"]["image_shape"] = [3, 32, 32]
    assert config.load_values(values, **load).Global.image_shape == [3, 32, 32]
    with pytest.raises(ConfigError, match="-o Global"):
        config.load_values(values, changes=["Global.image_shape=[3, 96, 96]"], **load)


AUGMENT = {"TimmAutoAugment": {"config_str": "rand-m9"}}


@pytest.mark.parametrize(
    ("train", "size", "origin"),
    [
        ([crop(64), AUGMENT], 64, "derived from DataLoader.Train.dataset.transform_ops.0.CropImage"),
        ([crop([96, 64]), {"TimmAutoAugment": None}], [96, 64], "derived from"),  # [width, height], as in recipes
        ([crop(64), {"TimmAutoAugment": {"img_size": 32}}], 32, "the dict"),
        ([crop(64), SHORT, AUGMENT], None, "default"),
        ([AUGMENT, crop(64)], None, "default"),
    ],
)
def test_augmentation_is_for_the_size_that_the_transforms_before_it_make(train, size, origin):
    loaded = ppcls.load_config(recipe([crop(64)], train=train))
    path = ("DataLoader", "Train", "dataset", "transform_ops")
    index = next(i for i, op in enumerate(train) if "TimmAutoAugment" in op)
    arguments = loaded.DataLoader.Train.dataset.transform_ops[index]["TimmAutoAugment"]
    assert arguments.get("img_size") == size
    first = (0,) if isinstance(size, list) else ()
    assert loaded.where(*path, index, "TimmAutoAugment", "img_size", *first).startswith(origin)
    assert ppcls.load_config(yaml.safe_load(to_yaml(loaded))).plain() == loaded.plain()
    assert ppcls.load_config(loaded).plain() == loaded.plain()
