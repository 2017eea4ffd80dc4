"""The transforms that recipes of PaddleClas name, against their definitions."""

import cv2
import numpy as np
import pytest

from ppcls.data.transforms import TRANSFORMS, build_transforms
from ppcls.data.transforms.lighting import EIGENVALUES, EIGENVECTORS
from ppcls.errors import ConfigError, DataError
from tests.helpers.images import picture

pil = pytest.importorskip("PIL.Image")
from PIL import ImageEnhance, ImageOps  # noqa: E402

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def apply(name, image, seed=0, **arguments):
    return build_transforms([{name: arguments}])(image, np.random.default_rng(seed))


@pytest.mark.parametrize(("height", "width"), [(400, 300), (97, 211), (3, 5)])
def test_crop_at_ratio(height, width):
    image = picture(height, width)
    side = int(28 / 32 * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    expected = cv2.resize(image[top : top + side, left : left + side], (28, 28))
    np.testing.assert_array_equal(apply("CropImageAtRatio", image, size=28, pad=4), expected)


@pytest.mark.parametrize(
    ("arguments", "height", "width", "corner"),
    [
        ({"size": [64, 48]}, 48, 64, (0, 0)),
        ({"size": [64, 48], "pad_mode": 1}, 48, 64, (4, 2)),
        ({"size": 64, "pad_mode": 2}, 64, 64, (24, 4)),
        ({"size": 64, "pad_mode": -1, "offsets": [3, 5]}, 64, 64, (5, 3)),
        ({}, 64, 64, (0, 0)),  # the next multiple of 32
        ({"size_divisor": 20}, 40, 60, (0, 0)),
    ],
)
def test_pad_to_a_size(arguments, height, width, corner):
    image = picture(40, 60)
    expected = np.empty((height, width, 3), np.uint8)
    expected[:] = [9, 8, 7]
    expected[corner[0] : corner[0] + 40, corner[1] : corner[1] + 60] = image
    np.testing.assert_array_equal(apply("Padv2", image, fill_value=[9, 8, 7], **arguments), expected)


def test_pad_to_a_size_that_is_too_small():
    with pytest.raises(DataError, match="Padv2: the image is 60 x 40 and does not fit into 59 x 59"):
        apply("Padv2", picture(40, 60), size=59)
    with pytest.raises(DataError, match=r"does not fit into 64 x 64 .* at 5, 0"):
        apply("Padv2", picture(40, 60), size=64, pad_mode=-1, offsets=[5, 0])


def test_the_padding_of_paddle_vision_is_ours():
    image = picture()
    np.testing.assert_array_equal(
        apply("Pad_paddle_vision", image, padding=4, padding_mode="reflect"),
        np.pad(image, ((4, 4), (4, 4), (0, 0)), "reflect"),
    )


def test_random_resized_crop_has_height_first():
    image = picture()
    result = apply("RandomResizedCrop", image, 3, size=[10, 20], scale=[0.2, 1], interpolation="bicubic")
    expected = apply("RandCropImage", image, 3, size=[20, 10], scale=[0.2, 1], interpolation="bicubic")
    assert result.shape == (10, 20, 3)
    np.testing.assert_array_equal(result, expected)


def test_to_tensor_and_normalize_equal_normalize_image():
    image = picture()
    ours = build_transforms([{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}])
    theirs = build_transforms([{"ToTensor": None}, {"Normalize": {"mean": MEAN, "std": STD}}])
    rng = np.random.default_rng(0)
    assert theirs(image, rng).dtype == np.float32
    np.testing.assert_allclose(theirs(image, rng), ours(image, rng), atol=1e-6)
    np.testing.assert_allclose(
        apply("Normalize", image, mean=100, std=50, data_format="HWC"), (image.astype(np.float32) - 100) / 50, rtol=1e-6
    )
    with pytest.raises(DataError, match="Normalize: data_format CHW does not fit the image"):
        apply("Normalize", image)
    with pytest.raises(DataError, match="ToTensor: takes uint8 pixels, got float32"):
        apply("ToTensor", image.astype(np.float32))


def test_pca_lighting_adds_a_multiple_of_each_component():
    grey = np.full((4, 5, 3), 128, np.uint8)
    changes = []
    for seed in range(2000):
        result = apply("PCALighting", grey, seed)
        assert (result == result[0, 0]).all()
        changes.append(result[0, 0].astype(int) - 128)
    alpha = np.random.default_rng(5).normal(0, 0.1, 3)
    expected = np.clip(np.rint(128 + 255 * (EIGENVECTORS * alpha * EIGENVALUES).sum(1)), 0, 255)
    np.testing.assert_array_equal(apply("PCALighting", grey, 5)[0, 0], expected)
    covariance = EIGENVECTORS @ np.diag((255 * 0.1 * EIGENVALUES) ** 2) @ EIGENVECTORS.T
    np.testing.assert_allclose(np.cov(np.array(changes).T), covariance, atol=2.5)
    np.testing.assert_array_equal(apply("PCALighting", picture(), alpha_std=0), picture())
    with pytest.raises(DataError, match="put it before NormalizeImage"):
        apply("PCALighting", grey.astype(np.float32))


@pytest.mark.parametrize("layout", ["chw", "hwc"])
def test_hide_and_seek_hides_patches_of_a_grid(layout):
    shape = (3, 40, 52) if layout == "chw" else (40, 52, 3)
    hidden = []
    for seed in range(300):
        image = apply("HideAndSeek", np.ones(shape, np.float32), seed, grid_sizes=[16])
        planes = image if layout == "chw" else image.transpose(2, 0, 1)
        assert (planes == planes[0]).all()
        patches = [planes[0, y : y + 16, x : x + 16] for y in range(0, 40, 16) for x in range(0, 52, 16)]
        assert all((patch == patch[0, 0]).all() for patch in patches) and len(patches) == 12
        hidden.append([patch[0, 0] == 0 for patch in patches])
    assert 0.47 < np.mean(hidden) < 0.53
    assert (np.mean(hidden, axis=0) > 0.35).all() and (np.mean(hidden, axis=0) < 0.65).all()


def test_hide_and_seek_draws_the_size_of_its_patches():
    image = np.ones((3, 224, 224), np.float32)
    unchanged = sum((apply("HideAndSeek", image.copy(), seed) == 1).all() for seed in range(200))
    assert 20 < unchanged < 62  # one of the five sizes hides nothing
    np.testing.assert_array_equal(apply("HideAndSeek", image.copy(), 1, hide_prob=0), image)
    with pytest.raises(DataError, match="HideAndSeek: takes a normalized float32 image"):
        apply("HideAndSeek", picture())


def test_cutout_fills_with_a_colour():
    white = np.full((40, 40, 3), 255, np.uint8)
    values = apply("Cutout", white, length=10, fill_value=[1, 2, 3]).reshape(-1, 3)
    assert {tuple(value) for value in values} == {(255, 255, 255), (1, 2, 3)}
    random = [apply("Cutout", white, seed, length=10, fill_value="none").reshape(-1, 3) for seed in range(50)]
    colors = {tuple(value) for values in random for value in values} - {(255, 255, 255)}
    assert len(colors) == 50
    assert np.mean(list(colors)) == pytest.approx(127.5, abs=20)
    np.testing.assert_array_equal(
        apply("Cutout", white, 3, length=10, fill_value=None), apply("Cutout", white, 3, length=10, fill_value="none")
    )


def _geometry(image, size, magnitudes, resample, fill):
    """Return Pillow's shears, translations and rotations by ``magnitudes``, in both directions."""
    shear, across, down, degrees = magnitudes
    fill = (fill,) * 3
    for sign in (-1, 1):
        for matrix in (
            (1, sign * shear, 0, 0, 1, 0),
            (1, 0, 0, sign * shear, 1, 0),
            (1, 0, sign * across, 0, 1, 0),
            (1, 0, 0, 0, 1, sign * down),
        ):
            yield image.transform(size, pil.AFFINE, matrix, resample, fillcolor=fill)
        yield image.rotate(sign * degrees, resample, fillcolor=fill)


def _colors(image, factors, bits, threshold):
    for factor in factors:
        for enhance in (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness, ImageEnhance.Sharpness):
            yield enhance(image).enhance(factor)
    yield ImageOps.posterize(image, bits) if bits else image.point(lambda value: 0)
    yield ImageOps.solarize(image, threshold)
    yield ImageOps.autocontrast(image)
    yield ImageOps.equalize(image)
    yield ImageOps.invert(image)


def _solarize_add(image, addend):
    return image.point(lambda value: min(255, value + addend) if value < 128 else value)


def _is_cutout(result, image, half, fill):
    """Return whether a result is the image with a square of sides up to twice ``half`` filled."""
    changed = (result != image).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return True
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (result[box] == fill).all() and max(rows[-1] - rows[0], columns[-1] - columns[0]) < 2 * half


def _expected_v2(image, magnitude):
    strength = magnitude / 10
    yield from _geometry(
        image, image.size, (0.3 * strength, int(100 * strength), int(100 * strength), 30 * strength), pil.NEAREST, 128
    )
    yield from _colors(image, [1.8 * strength + 0.1], min(8, int(4 * strength)), int(256 * strength))
    yield _solarize_add(image, int(110 * strength))


def _expected_v3(image, magnitude):
    strength = magnitude / 10
    across, down = (int(150 / 331 * strength * side) for side in image.size)
    yield from _geometry(image, image.size, (0.3 * strength, across, down, 30 * strength), pil.BICUBIC, 0)
    factors = [1 - 0.9 * strength, 1 + 0.9 * strength]
    yield from _colors(image, factors, 8 - int(4 * strength), 255 * (1 - strength))


@pytest.mark.parametrize(
    ("name", "magnitude", "expected", "half"),
    [
        ("RandAugmentV2", 5, _expected_v2, 20),
        ("RandAugmentV2", 15, _expected_v2, 60),
        ("RandAugmentV3", 3, _expected_v3, 0),
        ("RandAugmentV3", 10, _expected_v3, 0),
    ],
)
def test_one_operation_of_rand_augment_is_one_of_pillow(name, magnitude, expected, half):
    """Every result is one of those that Pillow gives for the operations' list, and each of these occurs."""
    image = picture(33, 47)
    possible = {np.asarray(one).tobytes() for one in expected(pil.fromarray(image), magnitude)}
    augment = build_transforms([{name: {"num_layers": 1, "magnitude": magnitude, "backend": "pil"}}])
    found = set()
    for seed in range(600):
        result = augment(image, np.random.default_rng(seed))
        if result.tobytes() not in possible:
            assert half and _is_cutout(result, image, half, 128), seed
        found.add(result.tobytes())
    assert possible <= found


def test_rand_augment_of_ml_decoder():
    """Two operations with probability 1/2 each: a quarter of the images stays; its strengths are ninths."""
    image = picture(33, 47)
    augment = build_transforms([{"RandAugmentV4": {"backend": "pil"}}])
    results = [augment(image, np.random.default_rng(seed)) for seed in range(600)]
    unchanged = np.mean([np.array_equal(result, image) for result in results])
    assert 0.2 < unchanged < 0.36  # and those that an operation leaves alone
    found = {result.tobytes() for result in results}
    single = {
        np.asarray(ImageEnhance.Color(pil.fromarray(image)).enhance(1 + sign * 0.1 * step)).tobytes()
        for sign in (-1, 1)
        for step in range(1, 10)
    }
    assert len(single & found) >= 5
    sheared = {
        np.asarray(
            pil.fromarray(image).transform(
                (47, 33), pil.AFFINE, (1, s * 0.3 * k / 9, 0, 0, 1, 0), pil.BICUBIC, fillcolor=(128,) * 3
            )
        ).tobytes()
        for s in (-1, 1)
        for k in range(1, 10)
    }
    assert len(sheared & found) >= 2


@pytest.mark.parametrize("config", [None, "rand-m15-mstd0.5-inc1", "rand-m8-inc1-mstd1.0", "rand-m1-mstd0.5-inc1"])
def test_configurations_of_paddleclas(config):
    augment = build_transforms([{"TimmAutoAugment": {"config_str": config, "img_size": [192, 256]}}])
    results = [augment(picture(), np.random.default_rng(seed)) for seed in range(20)]
    assert all(np.array_equal(result, picture()) for result in results) == (config is None)


def test_levels_above_the_largest_are_clipped_as_in_timm():
    for seed in range(30):
        results = [
            apply("TimmAutoAugment", picture(), seed, config_str=config, img_size=32)
            for config in ("rand-m15-n2-p1-inc1", "rand-m10-n2-p1-inc1")
        ]
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", ["AugMix", "RandAugmentV2", "RandAugmentV3", "RandAugmentV4", "PCALighting"])
def test_the_random_generator_alone_decides(name):
    first = [apply(name, picture(), seed) for seed in range(16)]
    again = [apply(name, picture(), seed) for seed in range(16)]
    assert all(np.array_equal(one, other) for one, other in zip(first, again))
    assert len({one.tobytes() for one in first}) > 3


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ({"CropImageAtRatio": {"size": 0, "pad": 1}}, "size: must be a whole number of at least 1"),
        ({"CropImageAtRatio": {"size": 8, "pad": -1}}, "pad: must be a whole number of at least 0"),
        ({"CropImageAtRatio": {"size": 8}}, "missing argument pad"),
        ({"Padv2": {"pad_mode": 3}}, "pad_mode: must be one of"),
        ({"Padv2": {"pad_mode": -1}}, r"offsets: give \[x, y\] with pad_mode -1"),
        ({"Padv2": {"offsets": [1, 2]}}, r"offsets: give \[x, y\] with pad_mode -1, and with no other"),
        ({"Padv2": {"size": 8, "fill_value": 300}}, "fill_value: must be from 0 to 255"),
        ({"RandomResizedCrop": {"size": [8, 8, 8]}}, "size: must be a side"),
        ({"Normalize": {"std": 0}}, "std: must not contain 0"),
        ({"Normalize": {"data_format": "NCHW"}}, "data_format: must be one of 'CHW', 'HWC'"),
        ({"PCALighting": {"alpha_std": -1}}, "alpha_std: must be"),
        ({"HideAndSeek": {"grid_sizes": []}}, "grid_sizes: give at least one"),
        ({"HideAndSeek": {"hide_prob": 2}}, "hide_prob: must be a number from 0 to 1"),
        ({"Cutout": {"fill_value": "black"}}, "fill_value: must be a colour from 0 to 255 or 'none'"),
        ({"Cutout": {"fill_value": 256}}, "fill_value: must be from 0 to 255"),
        ({"RandAugmentV2": {"magnitude": 31}}, "magnitude: must be from 0 to 30, not 31"),
        ({"RandAugmentV2": {"progress_magnitude": [5, 40]}}, "progress_magnitude: must be from 0 to 30, not 40"),
        ({"RandAugmentV2": {"progress_magnitude": []}}, "progress_magnitude: must be a list with one value per stage"),
        ({"RandAugmentV3": {"magnitude": 11}}, "magnitude: must be from 0 to 10, not 11"),
        ({"RandCropImage": {"size": 8, "progress_size": [8, 0]}}, "progress_size: must be a whole number"),
        ({"AugMix": {"mixture_depth": 0}}, "mixture_depth: must be at least 1, or -1"),
        ({"AugMix": {"aug_severity": 11}}, "aug_severity: must be from 0.1 to 10"),
        ({"AugMix": {"aug_prob_coeff": 0}}, "aug_prob_coeff: must be"),
    ],
)
def test_values_that_make_no_sense(op, message):
    name = next(iter(op))
    with pytest.raises(ConfigError, match=rf"transform_ops\[0\].{name}: {message}"):
        build_transforms([op])


def test_names_of_paddleclas_are_known():
    names = ("AugMix", "CropImageAtRatio", "HideAndSeek", "Normalize", "PCALighting", "Pad_paddle_vision", "Padv2")
    more = ("RandAugmentV2", "RandAugmentV3", "RandAugmentV4", "RandomCropImage", "RandomResizedCrop", "ToTensor")
    assert {*names, *more} <= set(TRANSFORMS.names())
