"""A variant's preprocessing: as its spec and the shipped recipes say, and as the predictor of an export does it."""

import re

import cv2
import numpy as np
import pytest

import ppcls
from ppcls.arch import list_models, spec
from ppcls.config.find import recipes
from ppcls.data.transforms import build_transforms
from ppcls.errors import ConfigError, DataError
from ppcls.preprocessing import ImageTransform, create_transform, transform_ops
from ppcls.weights import create_model
from tests.helpers.recipes import ROOT


@pytest.fixture
def photo(tmp_path):
    """Return the path of a picture without loss."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), pixels)
    return tmp_path / "photo.png"


def rgb(path):
    return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("train", [False, True])
def test_every_variant(name, train, photo):
    facts = spec(name)
    array = ppcls.create_transform(name, train)(photo)
    assert (array.shape, array.dtype) == ((3, facts.image_size, facts.image_size), np.float32)
    assert array.flags.c_contiguous
    for channel, mean, std in zip(array, facts.mean, facts.std):
        assert np.float32(-mean / std) <= channel.min() < channel.max() <= np.float32((1 - mean) / std)


def test_evaluation_is_the_centre_of_the_resized_image(photo):
    facts = spec("CycleMLP_B1")  # 224 px, crop 0.9
    from PIL import Image

    width, height = int(248 * 130 / 90), 248
    resized = np.asarray(Image.fromarray(rgb(photo)).resize((width, height), Image.BICUBIC))
    top, left = (height - 224) // 2, (width - 224) // 2
    pixels = resized[top : top + 224, left : left + 224] / 255
    expected = ((pixels - facts.mean) / facts.std).transpose(2, 0, 1)
    np.testing.assert_allclose(create_transform(facts)(photo), expected, atol=1e-5)


def test_every_way_to_give_an_image(photo):
    from PIL import Image

    transform = create_transform("gMLP_S16")
    expected = transform(photo)
    with photo.open("rb") as file:
        for image in (str(photo), photo.read_bytes(), rgb(photo), Image.open(photo), file):
            np.testing.assert_array_equal(transform(image), expected)
    with pytest.raises(DataError, match="no such image or folder"):
        transform(photo.with_name("gone.png"))
    with pytest.raises(DataError, match=r"cannot be decoded|not an image"):
        transform(b"nothing")
    cv2.imwrite(str(photo.with_name("another.png")), rgb(photo))
    with pytest.raises(DataError, match="stands for 2 images; give one"):
        transform(photo.parent)


def test_random_transforms_draw_anew_or_from_what_is_given(photo):
    transform = create_transform("ConvMLP_S", train=True)
    given = [transform(photo, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(given[0], given[1])
    assert not np.array_equal(given[0], given[2])
    assert not np.array_equal(transform(photo), transform(photo))


def test_models_know_their_preprocessing(photo):
    sizes = {"dim": 8, "depth": 1, "class_num": 3}
    model = create_model("gMLP_S16", **sizes)
    assert create_transform(model) == create_transform("gMLP_S16") == create_transform(spec("gMLP_S16"))
    assert create_transform(create_model("gMLP_S16", **sizes, features_only=True)) == create_transform("gMLP_S16")
    wide = create_model("gMLP_S16", **sizes, image_size=[112, 448])
    assert create_transform(wide)(photo).shape == (3, 112, 448)
    assert create_transform(wide, train=True)(photo).shape == (3, 112, 448)
    square = create_model("gMLP_S16", **sizes, image_size=448)
    assert create_transform(square).transform_ops[1]["ResizeImage"]["resize_short"] == 512  # the same crop ratio


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ConvMixer_256", "did you mean 'ConvMixer_256_8'"),
        ("ConvMixer", "is a family"),
        (3, "expected a variant's name, its spec or a model, got int"),
    ],
)
def test_what_has_no_preprocessing(source, message):
    with pytest.raises(ConfigError, match=message):
        create_transform(source)


def test_a_model_without_a_spec():
    with pytest.raises(ConfigError, match="ConvMixer: no spec is known of this model; give the name of a variant"):
        create_transform(create_model("ConvMixer", dim=8, depth=1))


# Evaluated as the people did whose runs they repeat.
REPEATED = ("ImageNet/CycleMLP/CycleMLP_patch16_224.yaml", "ImageNet/CycleMLP/CycleMLP_patch16_224_1.yaml")


def recipes_of_variants():
    """Yield the shipped recipes for data like those that the variant's spec is about."""
    for name in sorted(set(recipes()) - set(REPEATED)):
        loaded = ppcls.load_config(name)
        for config in [loaded.stage(stage) for stage in loaded.stages] if loaded.Stages else [loaded]:
            if config.Arch.name in list_models() and config.Arch.class_num == spec(config.Arch.name).class_num:
                yield name, config


def test_shipped_recipes_agree_with_the_spec():
    """Those for CIFAR-10 get arrays of the right size, and have the rest in Infer.transforms."""
    covered = set()
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for name, config in recipes_of_variants():
        facts = spec(config.Arch.name)
        covered.add(facts.name)
        found = build_transforms(config.DataLoader.Eval.dataset.transform_ops)
        expected = build_transforms(transform_ops(facts))
        assert config.Global.image_shape == [3, facts.image_size, facts.image_size], name
        if config.Infer.transforms is None:
            assert found == expected, name
        else:
            wanted = expected(image, np.random.default_rng(0))
            for ops in (found, build_transforms(config.Infer.transforms)):
                np.testing.assert_array_equal(ops(image, np.random.default_rng(0)), wanted, err_msg=name)
        train = build_transforms(config.DataLoader.Train.dataset.transform_ops)
        normalize = [dict(zip(c.names, c.ops))["NormalizeImage"] for c in (train, expected)]
        assert normalize[0] == normalize[1], name
    assert covered == set(list_models())


def test_model_cards_agree_with_the_spec():
    for page in (ROOT / "docs" / "models").glob("*.md"):
        for variant, size, crop in re.findall(
            r"^\| (\w+) \|[^|]*\|[^|]*\| (\d+) \|[^|]*\| ([\d.]+) \|", page.read_text(), re.M
        ):
            facts = spec(variant)
            assert (int(size), float(crop)) == (facts.image_size, facts.crop_pct), variant
            assert facts.interpolation == "bicubic", f"{page.name} says that all variants resize bicubically"


def test_as_the_predictor_prepares_images(models, photo, digits):
    predictor = ppcls.Predictor(models / "inference")
    transform = ImageTransform(tuple(predictor.description.transform_ops))
    small = cv2.imread(str(next((digits / "val").glob("*.png"))))
    for image in (next((digits / "val").glob("*.png")), small):
        np.testing.assert_array_equal(transform(image), predictor.prepare(image))
